"""Optional pipelines that reuse the stages, each folder with its own dvc.yaml and params.yaml; files here serve all."""

from augury.pipeline.packages import require_packages

# As in stages/: before the imports of a study's own.
require_packages()
