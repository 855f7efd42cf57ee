"""What images are made of, found by the columns that say so."""

import numpy as np

from augury.images.made_of import counts_by_start, excused_rows, source_rows

INDEX = np.array([7, 3, 11])


def test_sources_are_found_by_their_index() -> None:
    columns = {
        "source": np.array([3, -1, 11, 5]),
        "other_source": np.array([7, 3, -1, 11]),
        "ground": np.array([3] * 4),
    }
    assert source_rows(columns, INDEX).tolist() == [[1, 0], [-1, 1], [2, -1], [-1, 2]]
    assert source_rows({"source": columns["source"]}, INDEX).tolist() == [[1], [-1], [2], [-1]]
    assert source_rows(columns, INDEX, ["ground"]).tolist() == [[1]] * 4
    assert source_rows({}, INDEX).shape[1] == 0


def test_a_pair_of_one_image_with_itself_excuses_nothing() -> None:
    columns = {"source": np.array([3, 11, -1]), "other_source": np.array([7, 11, -1])}
    assert source_rows(columns, INDEX).tolist() == [[1, 0], [2, 2], [-1, -1]]
    assert excused_rows(columns, INDEX).tolist() == [[1, 0], [-1, -1], [-1, -1]]
    assert excused_rows({"source": columns["source"]}, INDEX).tolist() == [[1], [2], [-1]]


def test_images_are_counted_by_where_they_start() -> None:
    columns = {
        "start": np.array(["image", "prior", "image", "image"]),
        "strength": np.array([0.3, 1.0, 0.6, 0.3]),
        "altered_copy": np.array([True, False, False, False]),
    }
    counts = counts_by_start(columns)
    assert [tuple(row.values()) for row in counts] == [("image", 0.3, 2, 1), ("image", 0.6, 1, 0), ("prior", 1.0, 1, 0)]
    del columns["strength"], columns["altered_copy"]
    assert [tuple(row.values()) for row in counts_by_start(columns)] == [("image", None, 3, 0), ("prior", None, 1, 0)]
    assert counts_by_start({}) == []
