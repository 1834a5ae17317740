"""What a run will take, predicted: a roofline over what it will do, counted, against the rates of a device.

How it goes, and who gives what to whom:

* `profiles`: a `Profile` has the rates of a device: those of data sheets are the files of `profiles/`, those of this
  machine are measured when they are asked for (`measuring`). Which of the two it is, it says.
* `tally`: a `Tally` is how much work something is: operations of products by precision, bytes, functions by their
  names, kernels, views, small matrices. It is linear: `2 * a + b`. `seconds(tally, profile)` is its roofline.
* `counting`: `Counter`, a dispatch mode, makes the tally of what is carried out inside it, on small shapes on a CPU.
* `training`, `evaluation`: tallies of a training step, a validation, a pass of importance sampling, a refinement, gaps,
  calibration, checks, pictures: as functions of models, batch, images and samples (`counts`), cut as on the device that
  is asked about. They execute torch, in a worker (`worker`).
* `prediction`: what the planned run does of each, times its tally, by the profile: `Term`s, each with its seconds, low
  and high where ends are adaptive, and what bounds it. `given`: ends and passes that a run has recorded.
* `estimate`: `estimate_grid`, which puts them together for `vae-bench estimate`.

No number here is measured but those of `measuring`: whoever prints one calls it a prediction.
"""
