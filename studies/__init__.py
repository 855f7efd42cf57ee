"""Optional pipelines that reuse the stages: each folder has its own dvc.yaml and params.yaml."""
