import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import obstore
import pytest

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import objects, sources, storage

DATA = objects.Subject("dataset support", Reason.DATASET_NOT_FOUND)


def put(uri, content):
    root, _, name = uri.rpartition("/")
    obstore.put(objects.opened(root), name, content)


def names(uri):
    return sorted(meta["path"] for batch in obstore.list(objects.opened(uri)) for meta in batch)


def made(directory, weights=b"w" * 1000, uid="one"):
    (directory / "merged").mkdir(parents=True)
    (directory / "merged" / "config.json").write_text('{"model_type": "llama"}')
    (directory / "merged" / "model.safetensors").write_bytes(weights)
    merged = storage.file_digests(directory / "merged")
    record = {
        "job": {"uid": uid}, "configDigest": "sha256:c", "digest": storage.directory_digest(directory),
        "forms": {"merged": {"path": "merged", "digest": storage.digest_of(merged), "files": merged}},
    }  # fmt: skip
    (directory / "tunebird.json").write_text(json.dumps(record))
    return directory


def test_one_object_is_fetched(bucket):
    put(f"{bucket}/data/train.jsonl", b'{"a": 1}\n')
    path = objects.fetch(f"{bucket}/data/train.jsonl", DATA)
    assert (path.name, path.read_bytes()) == ("train.jsonl", b'{"a": 1}\n')


def test_a_prefix_becomes_a_directory_without_hidden_objects(bucket):
    for name in ("a.jsonl", "sub/b.jsonl", ".probe-1"):
        put(f"{bucket}/data/{name}", name.encode())
    assert sorted(storage.file_digests(objects.fetch(f"{bucket}/data", DATA))) == ["a.jsonl", "sub/b.jsonl"]


def test_a_copy_is_kept_until_the_object_changes(bucket):
    uri = f"{bucket}/train.jsonl"
    put(uri, b"old")
    first = objects.fetch(uri, DATA)
    stamp = first.stat().st_mtime_ns
    assert objects.fetch(uri, DATA).stat().st_mtime_ns == stamp
    put(uri, b"new")
    assert objects.fetch(uri, DATA).read_bytes() == b"new"
    assert not first.exists(), "the old copy would fill the scratch volume"


def test_a_large_object_is_streamed(bucket):
    content = os.urandom(12 * 1024 * 1024 + 5)
    put(f"{bucket}/model.safetensors", content)
    assert objects.fetch(f"{bucket}/model.safetensors", DATA).read_bytes() == content


@pytest.mark.parametrize("absent", ["/nothing.jsonl", "-and-no-such-bucket/train.jsonl"])
def test_what_is_absent_is_said_to_be(bucket, absent):
    with pytest.raises(Failure, match="copy it there or correct the URI") as caught:
        objects.fetch(bucket + absent, DATA)
    assert caught.value.reason is Reason.DATASET_NOT_FOUND


def test_a_store_that_is_not_there_may_come_back(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(objects, "RETRIES", 0)
    with pytest.raises(Failure, match="the run is retried") as caught:
        objects.fetch(f"{bucket}/train.jsonl", DATA)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE


@pytest.fixture
def web(tmp_path, cached):
    """A web server on this host; `/secret` asks for a login, `/broken` fails."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "www"))

        def send_head(self):
            if "secret" in self.path and self.headers.get("Authorization") != "Bearer right":
                return self.send_error(403)
            return super().send_head()

        def log_message(self, *_):
            pass

    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "train.jsonl").write_text("{}\n")
    (tmp_path / "www" / "secret.jsonl").write_text("{}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_of_a_web_server(web):
    assert objects.fetch(f"{web}/train.jsonl", DATA).read_text() == "{}\n"
    with pytest.raises(Failure, match=r"nothing is at .*absent\.jsonl"):
        objects.fetch(f"{web}/absent.jsonl", DATA)


def test_a_refused_login_names_the_secrets_keys(web, monkeypatch):
    with pytest.raises(Failure, match="HTTPS_AUTHORIZATION") as caught:
        objects.fetch(f"{web}/secret.jsonl", DATA)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    model = objects.Subject("model", Reason.MODEL_NOT_FOUND, Reason.GATED_MODEL)
    with pytest.raises(Failure) as caught:
        objects.fetch(f"{web}/secret.jsonl", model)
    assert caught.value.reason is Reason.GATED_MODEL
    monkeypatch.setenv("HTTPS_AUTHORIZATION", "Bearer right")
    assert objects.fetch(f"{web}/secret.jsonl", DATA).read_text() == "{}\n"


def test_nothing_is_read_in_the_clear_over_a_network():
    assert objects.scheme("http://data.example/train.jsonl") == "http"
    assert objects.scheme("http://127.0.0.1:8000/train.jsonl") == "https"


def test_an_artifact_is_published_with_its_manifest_last(bucket, tmp_path):
    uri = f"{bucket}/models/support-bot"
    objects.publish(made(tmp_path / "staged"), uri, "one")
    assert names(uri) == ["merged/config.json", "merged/model.safetensors", "tunebird.json"]
    model = config_file.parse(config(model__uri=uri)).model
    assert sources.fetch_model(model).name == "merged"


def test_a_second_publisher_of_something_else_is_refused(bucket, tmp_path):
    uri = f"{bucket}/models/support-bot"
    objects.publish(made(tmp_path / "first"), uri, "one")
    with pytest.raises(Failure, match="was published by another run") as caught:
        objects.publish(made(tmp_path / "second", b"other", "two"), uri, "two")
    assert caught.value.reason is Reason.INVALID_CONFIG
    weights = bytes(obstore.get(objects.opened(uri), "merged/model.safetensors").bytes())
    assert weights == b"w" * 1000, "the loser must not have touched the winner's files"


def test_of_many_publishers_at_once_one_wins_whole(bucket, tmp_path):
    uri = f"{bucket}/models/race"
    staged = {uid: made(tmp_path / uid, uid.encode() * 2000, uid) for uid in ("a", "b", "c", "d")}
    won, lost = [], []

    def publish(uid):
        try:
            objects.publish(staged[uid], uri, uid)
            won.append(uid)
        except Failure as failure:
            lost.append(failure.reason)

    threads = [threading.Thread(target=publish, args=(uid,)) for uid in staged]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), lost) == (1, [Reason.INVALID_CONFIG] * 3)
    assert objects.read_json(f"{uri}/tunebird.json", DATA)["job"]["uid"] == won[0]
    assert bytes(obstore.get(objects.opened(uri), "merged/model.safetensors").bytes()) == won[0].encode() * 2000


SLOW_UPLOAD = """
import sys, time
from pathlib import Path
import obstore
from tunebird_trainer.stores import objects
real = obstore.put
def slow(store, name, *rest, **options):
    answer = real(store, name, *rest, **options)
    print(name, flush=True)
    if name.endswith("config.json"):
        time.sleep(60)
    return answer
obstore.put = slow
objects.publish(Path(sys.argv[1]), sys.argv[2], "one")
"""


def test_an_upload_that_is_killed_publishes_nothing_and_goes_on(bucket, tmp_path):
    uri, staged = f"{bucket}/models/killed", made(tmp_path / "staged")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_UPLOAD, str(staged), uri], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("merged/config.json"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(uri) == [".tunebird-claim.json", "merged/config.json"]
    with pytest.raises(Failure, match="is an unfinished upload"):
        objects.fetch(uri, DATA)
    with pytest.raises(Failure, match="is being published by job one"):
        objects.publish(made(tmp_path / "other", b"x", "two"), uri, "two")
    before = obstore.head(objects.opened(uri), "merged/config.json")["last_modified"]
    time.sleep(1.1)  # last_modified has seconds
    objects.publish(staged, uri, "one")
    assert names(uri) == ["merged/config.json", "merged/model.safetensors", "tunebird.json"]
    assert obstore.head(objects.opened(uri), "merged/config.json")["last_modified"] == before, "not uploaded twice"


def test_files_of_an_earlier_try_that_this_one_lacks_are_removed(bucket, tmp_path):
    uri = f"{bucket}/models/again"
    put(f"{uri}/merged/model-00001-of-00002.safetensors", b"of an earlier try")
    objects.publish(made(tmp_path / "staged"), uri, "one")
    assert "merged/model-00001-of-00002.safetensors" not in names(uri)
