"""The speed of this project beside Pythae and a plain PyTorch loop: one network, one task, one process, taken in turn.

    make peers                                          # MNIST, which is read or downloaded
    make peers ARGS="--dataset digits --quick"          # no download, three minutes

Equal for all: the network (Pythae 0.1.2's default MLP, D-512-20 and back, ReLU, a sigmoid at the end), the images (in
memory, the same ones), batches of 128, Adam, the objective (`task.py` has the two), float32, the threads.

Not equal, and so said:

* Pythae gets its best settings: no progress bars, no log, no validation and no checkpoints while epochs are timed,
  DataLoader in the process (its default), get_nll under no_grad and in one chunk of all L samples, which is faster than
  its default. Set-up and the final save are not timed, except in the grid, where everything is. The copy of the best
  model that it makes after every epoch, and its .item() at every step, are how it trains: they stay.
* Ours draws more: fresh dequantisation noise for the squared error, where Pythae sees grey values without noise, and
  uniforms that thresholding does not need. Models of a bundle have a seed each: they share no batch and no noise.
* get_nll gives one number; ours every image's bound with its standard error, effective sample size and k̂.
* Initial weights are each program's own. The evaluation compares one and the same trained network.
"""
