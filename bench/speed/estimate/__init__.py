"""What a run will take, predicted: a roofline over what it will do, counted, against the rates of a device.

How it goes, and who gives what to whom:

* `devices`: a `Profile` has the rates of a device: those of data sheets are the files of `devices/sheets/`, those of
  this machine are measured when they are asked for (`devices.measure`). Which of the two it is, it says.
* `tally`: a `Tally` is how much work something is: operations of products by precision, bytes, functions by their
  names, kernels, views, small matrices. It is linear: `2 * a + b`. `seconds(tally, profile)` is its roofline.
* `counting`: `Counter`, a dispatch mode, makes the tally of what is carried out inside it, on small shapes on a CPU;
  with it workers make `counts` of a training step, a validation, a pass of importance sampling, a refinement, gaps,
  calibration, checks, pictures, as functions of models, batch, images and samples, cut as on the device that is asked
  about (`cuts`). Each call is counted by itself; how often it takes place `counts` and `passes` know, in plain numbers.
* `kept`: counts are kept in the user's cache, until the code changes.
* `asked`: what must be counted for a grid. `given`: ends and passes that a run has recorded, or the least and the most
  of what is not known before a run. `prediction`: what the planned run does of each, times its tally, by the profile:
  terms, each with its seconds and what bounds it, and the memory.
* `estimate`: `estimate_grid`, which puts them together for `vae-bench estimate`.

Nobody measures anything here but `devices.measure`: whoever prints a number of the others calls it a prediction.
"""
