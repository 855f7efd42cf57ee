"""What makes a function a stage, and where it runs: errors, params, outputs, seeding, devices, threads, downloads."""
