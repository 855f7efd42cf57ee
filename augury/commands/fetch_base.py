"""`python -m augury fetch-base ID`: a pretrained text-to-image model for train_pretrained."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="owner/name on huggingface.co, in diffusers' layout")
    parser.add_argument("--revision", required=True, metavar="SHA", help="the commit: 40 digits, which no one can move")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")


def main(asked: argparse.Namespace) -> None:
    from augury.preflight.fetching import fetch_base

    pipeline, digest = fetch_base(asked.id, asked.revision, asked.out)
    print(f"{asked.out}: {pipeline}, SHA-256 {digest}; read its licence, and name it as base_licence in params.yaml")
