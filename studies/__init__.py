"""Optional pipelines that reuse the stages, each folder with its own dvc.yaml and params.yaml; files here serve all."""
