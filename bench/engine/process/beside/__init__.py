"""What goes on beside a run, in processes of its own: programs are made for it (`ahead`), pieces of work wait for
theirs (`awaited`), and its time is predicted (`foretold`)."""
