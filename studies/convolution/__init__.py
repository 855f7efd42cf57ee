"""What convolutions see and what their settings do, on the images of the main pipeline."""
