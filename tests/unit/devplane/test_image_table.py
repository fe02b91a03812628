"""The file of `--images`: what it can't be is said in a sentence with the file and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from devplane.__main__ import main
from devplane.context import Image, ImageTable, ImageTableError

REMEDY = "docs/devplane.md shows one"


def test_table_is_read_and_an_empty_one_has_no_images(tmp_path: Path) -> None:
    table = tmp_path / "images.yaml"
    table.write_text("images:\n- {image: 'a:*', entrypoint: [a, 1], cmd: [b], path: [/p], env: {K: 2, EMPTY: ''}}\n")
    assert ImageTable.load(table).images == (Image("a:*", ("a", "1"), ("/p",), {"K": "2", "EMPTY": ""}, ("b",)),)
    for empty in ("", "# nothing\n", "images:\n", "images: []\n", "images: [{image: a, env: null, cmd: null}]"):
        table.write_text(empty)
        assert len(ImageTable.load(table).images) == empty.count("image:")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("images: [", f": line 1: it is not YAML: expected the node content, but found '<stream end>'; {REMEDY}"),
        ("images:\n\t- image: a\n", ": line 2: it is not YAML: found character '\\t' that cannot start any token; "),
        (b"\xff\xfe\xfd", ": it is not YAML: "),
        ("- image: a\n", f": a list is no image table; {REMEDY}"),
        ("words", f": 'words' is no image table; {REMEDY}"),
        ("images: {image: a}\n", f": images: {{'image': 'a'}} is not a list; {REMEDY}"),
        ("images: all\n", ": images: 'all' is not a list"),
        ("image: a\n", ": unknown field 'image'; the only field is 'images'"),
        ("1: a\n", ": unknown field 1; the only field is 'images'"),
        ("images: [a]\n", f": images[0]: 'a' is no entry; {REMEDY}"),
        ("images: [{image: a}, {}]\n", "images[1].image: None is not a glob of image names; give one as 'busybox:*'"),
        ("images: [{image: a, 1: 2}]\n", "images[0]: unknown field 1; known are image, entrypoint, cmd"),
        (
            "images: [{image: a, entrypoint: sleep 1}]",
            ".entrypoint: 'sleep 1' is not a list of texts; write one as ['sleep',",
        ),
        ("images: [{image: a, cmd: [[b]]}]", "images[0].cmd: [['b']] is not a list of texts"),
        ("images: [{image: a, path: {b: c}}]", "images[0].path: {'b': 'c'} is not a list of texts"),
        (
            "images: [{image: a, env: [K=V]}]",
            "images[0].env: ['K=V'] is not a map of texts; write one as {NAME",
        ),
        ("images: [{image: a, cmd: [yes]}]", "images[0].cmd: [True] is not a list of texts"),
        ("images: [{image: a, env: {K: }}]", "images[0].env: {'K': None} is not a map of texts"),
        ("images: [{image: a, env: {K: [1]}}]", "images[0].env: {'K': [1]} is not a map of texts"),
    ],
)
def test_table_that_can_not_be_meant_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | bytes, said: str
) -> None:
    table = tmp_path / "images.yaml"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ImageTableError) as refused:
        ImageTable.load(table)
    assert str(refused.value).startswith(f"image table {table}: ")
    assert said in str(refused.value)
    assert main(["serve", "--data-dir", str(tmp_path / "data"), "--images", str(table)]) == 2
    assert capsys.readouterr().err == f"devplane: {refused.value}\n"
    assert not (tmp_path / "data").exists()


def test_file_that_can_not_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "nofile", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ImageTableError) as refused:
            ImageTable.load(path)
        assert str(refused.value) == f"image table {path}: {why}; give the path of a YAML file; {REMEDY}"
