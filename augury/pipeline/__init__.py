"""What makes a function a stage, and where it runs: errors, params, replicates, outputs, seeds, devices, downloads."""
