"""Conformance suites: whoever writes an adapter proves with them that it keeps its port's promises.

Subclass a suite in a test module, under a name that pytest collects::

    class TestMyKeyService(SignerSuite):
        def pair(self):
            return MyKeyService("key-1"), MyKeyServiceVerifier("key-1")

        def stranger(self):
            return MyKeyServiceVerifier("key-2")
"""

import json
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from weighbridge.checkpoint.folder import inspect
from weighbridge.checkpoint.read import read_folder
from weighbridge.dossier.signature import KeyHolder, SignatureVerifier, Signer, key_hint, sign_files
from weighbridge.dossier.signature_reader import read_signature
from weighbridge.errors import InputError, VerificationError
from weighbridge.evidence.evaluate.engine import EngineFacts
from weighbridge.evidence.evaluate.text_model import Sampling, TextModel
from weighbridge.evidence.probe import Bench, FileProbe, Probe, Subject
from weighbridge.evidence.record import Audit, Measurement, Severity
from weighbridge.hub.store.port import ByteStore, ByteStoreError, MissingObjectError, UnsafeKeyError

_FILES = {"model.safetensors": "11" * 32, "a/b.json": "22" * 32, "a.b/c": "33" * 32, "ü z": "44" * 32}
_SAMPLES = re.compile(r"[a-z0-9][a-z0-9.-]*\.jsonl\Z")
_CONTEXTS = ("The truck is weighed.", "The truck is weighed twice:", "A version", "Größe und 重量:")
_ENDINGS = (" one", " two trucks", " one. two.")


class SignerSuite(ABC):
    """What every pair of a `Signer` and a `SignatureVerifier` must do."""

    @abstractmethod
    def pair(self) -> tuple[Signer, SignatureVerifier]:
        """Return a signer and the verifier of the same key. Called more than once; the key stays the same."""

    @abstractmethod
    def stranger(self) -> SignatureVerifier:
        """Return a verifier of another key."""

    def test_a_signature_verifies_with_its_key(self) -> None:
        signer, verifier = self.pair()
        for message in (b"", b"x", bytes(range(256)) * 4096):
            verifier.verify(message, signer.sign(message))

    def test_a_signature_fails_with_another_key(self) -> None:
        signer, _ = self.pair()
        _refuses(self.stranger(), b"message", signer.sign(b"message"))

    def test_a_signature_fails_over_another_message(self) -> None:
        signer, verifier = self.pair()
        signature = signer.sign(b"message")
        for other in (b"", b"messagf", b"message\0", b"messag"):
            _refuses(verifier, other, signature)

    def test_an_altered_signature_is_refused_and_raises_nothing_else(self) -> None:
        signer, verifier = self.pair()
        signature = signer.sign(b"message")
        for index in range(len(signature)):
            _refuses(verifier, b"message", signature[:index] + bytes([signature[index] ^ 1]) + signature[index + 1 :])
        for other in (b"", b"\0", signature[:-1], signature + b"\0", signature * 100):
            _refuses(verifier, b"message", other)

    def test_the_public_key_is_pem_and_the_same_on_both_sides(self) -> None:
        signer, verifier = self.pair()
        again, _ = self.pair()
        assert signer.public_key_pem.startswith(b"-----BEGIN PUBLIC KEY-----")
        assert signer.public_key_pem == again.public_key_pem
        if isinstance(verifier, KeyHolder):
            assert key_hint(verifier.public_key_pem) == key_hint(signer.public_key_pem)

    def test_a_bundle_reads_back_what_was_signed(self) -> None:
        signer, verifier = self.pair()
        bundle = sign_files(_FILES, name="model", signer=signer)
        assert dict(read_signature(bundle, verifier, place="model.sig").digests) == _FILES

    def test_a_bundle_is_refused_by_a_stranger(self) -> None:
        signer, _ = self.pair()
        bundle = sign_files(_FILES, name="model", signer=signer)
        try:
            read_signature(bundle, self.stranger(), place="model.sig")
        except VerificationError:
            return
        raise AssertionError("a bundle was accepted with another key")


def _refuses(verifier: SignatureVerifier, message: bytes, signature: bytes) -> None:
    try:
        verifier.verify(message, signature)
    except VerificationError:
        return
    raise AssertionError(f"a bad signature was accepted: {signature.hex()} over {message!r}")


class TextModelSuite(ABC):
    """What every `TextModel` must do. The model needs no quality: a tiny random one does."""

    atol = 0.02
    """How far two log-likelihoods of one text may be apart, in nats a token: kernels add in different orders."""

    @abstractmethod
    def text_model(self) -> TextModel:
        """Return the model, loaded. Called by every test; it may be one and the same."""

    def test_answers_come_in_the_order_of_the_requests(self) -> None:
        model = self.text_model()
        pairs = [(context, ending) for ending in _ENDINGS for context in _CONTEXTS]
        together = list(model.continuations(pairs))
        assert len(together) == len(pairs)
        for pair, found in zip(pairs, together, strict=True):
            (alone,) = model.continuations([pair])
            assert found.tokens == alone.tokens > 0
            assert abs(found.log_likelihood - alone.log_likelihood) <= self.atol * found.tokens

    def test_a_long_continuation_is_as_likely_as_its_parts(self) -> None:
        model = self.text_model()
        (whole,) = model.continuations([(_CONTEXTS[0], " one. two. three.")])
        parts = list(
            model.continuations(
                [
                    (_CONTEXTS[0], " one."),
                    (f"{_CONTEXTS[0]} one.", " two."),
                    (f"{_CONTEXTS[0]} one. two.", " three."),
                ]
            )
        )
        assert sum(part.tokens for part in parts) == whole.tokens
        assert abs(sum(part.log_likelihood for part in parts) - whole.log_likelihood) <= self.atol * whole.tokens

    def test_log_likelihoods_are_of_probabilities(self) -> None:
        for found in self.text_model().continuations([(context, " one") for context in _CONTEXTS]):
            assert -1e4 < found.log_likelihood <= 0

    def test_spaces_at_the_end_of_a_context_belong_to_the_continuation(self) -> None:
        left, right = self.text_model().continuations([("The truck ", "one"), ("The truck", " one")])
        assert left.tokens == right.tokens
        assert abs(left.log_likelihood - right.log_likelihood) <= self.atol * left.tokens

    def test_a_continuation_without_a_token_is_refused(self) -> None:
        _expect(InputError, lambda: list(self.text_model().continuations([("The truck", "")])))

    def test_generation_is_bounded_and_the_same_for_the_same_seed(self) -> None:
        model = self.text_model()
        for temperature in (0.0, 1.0):
            sampling = Sampling(max_tokens=6, temperature=temperature, seed=11)
            first = list(model.generate(_CONTEXTS, sampling))
            assert first == list(model.generate(_CONTEXTS, sampling))
            assert all(0 <= answer.tokens <= 6 for answer in first)
            for answer in first:
                answer.text.encode("utf-8")

    def test_a_stop_text_ends_an_answer_and_is_not_part_of_it(self) -> None:
        model = self.text_model()
        (whole,) = model.generate(_CONTEXTS[:1], Sampling(max_tokens=12))
        stop = whole.text[2:4]
        if not stop or "�" in whole.text:
            return
        (cut,) = model.generate(_CONTEXTS[:1], Sampling(max_tokens=12, stop=(stop,)))
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.finish == "stop"

    def test_an_iterator_that_nobody_reads_on_does_no_harm(self) -> None:
        model = self.text_model()
        pairs = [(context, f" {number}") for context in _CONTEXTS for number in range(20)]
        begun = model.continuations(pairs)
        first = next(begun)
        del begun
        (again,) = model.continuations(pairs[:1])
        assert abs(again.log_likelihood - first.log_likelihood) <= self.atol * first.tokens

    def test_nothing_asked_is_nothing_answered(self) -> None:
        model = self.text_model()
        assert list(model.generate((), Sampling(max_tokens=4))) == []
        assert list(model.continuations(())) == []

    def test_what_is_no_text_is_refused(self) -> None:
        _expect(InputError, lambda: list(self.text_model().continuations([("half a pair \ud800", " one")])))

    def test_its_facts_can_be_kept_as_json(self) -> None:
        facts = self.text_model().facts
        assert EngineFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts

    def test_token_scores_agree_with_continuations_where_they_are_given(self) -> None:
        model = self.text_model()
        text = f"{_CONTEXTS[0]} one. two."
        try:
            (scores,) = model.token_scores([text])
        except InputError:
            return  # an endpoint that tells likeliest tokens only
        (found,) = model.continuations([(_CONTEXTS[0], " one. two.")])
        assert tuple(scores.tokens) == model.tokenize(text)[1:]
        assert abs(scores.log_probability[-found.tokens :].sum() - found.log_likelihood) <= self.atol * found.tokens
        assert (scores.mean <= 0).all()
        assert (scores.deviation >= 0).all()


class ProbeSuite(ABC):
    """What every `Probe` must do."""

    @abstractmethod
    def probe(self) -> Probe:
        """Return the probe."""

    @abstractmethod
    def bench(self, folder: Path) -> Bench:
        """Return a bench whose own folder is below `folder`."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return settings under which it measures something."""

    @abstractmethod
    def subjects(self) -> tuple[Subject, Subject]:
        """Return a version and its internal model."""

    def test_its_settings_are_a_schema_that_refuses_unknown_keys(self) -> None:
        from jsonschema import Draft202012Validator

        schema = dict(self.probe().settings)
        Draft202012Validator.check_schema(schema)
        assert schema.get("additionalProperties") is False
        assert schema.get("description"), "people read it in the reference of plans"
        validator = Draft202012Validator(schema)
        assert validator.is_valid(dict(self.settings()))
        assert not validator.is_valid({**self.settings(), "no-such-setting": 1})

    def test_what_its_answers_depend_on_is_json_and_stays_the_same(self, tmp_path: Path) -> None:
        probe, settings = self.probe(), self.settings()
        first, second = (probe.check(settings, self.bench(tmp_path / name)) for name in ("a", "b"))
        assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)

    def test_its_records_are_about_the_subject_and_name_the_probe(self, tmp_path: Path) -> None:
        probe, (subject, source) = self.probe(), self.subjects()
        found = probe.weigh(subject, source=source, settings=self.settings(), bench=self.bench(tmp_path))
        records: tuple[Measurement | Audit, ...] = (*found.measurements, *found.audits)
        assert records, "these settings should measure something"
        for record in records:
            assert (record.subject, record.probe, record.probe_version) == (subject.digest, probe.name, probe.version)
        for measurement in found.measurements:
            assert measurement.baseline in (None, source.digest)
            assert Measurement.from_json(json.loads(json.dumps(measurement.to_json()))) == measurement
        for name, data in found.samples.items():
            assert _SAMPLES.match(name), name
            assert all(isinstance(json.loads(line), dict) for line in data.decode().splitlines())

    def test_it_finds_the_same_a_second_time_and_on_a_fresh_bench(self, tmp_path: Path) -> None:
        probe, (subject, source), settings = self.probe(), self.subjects(), self.settings()
        benches = [self.bench(tmp_path / "a"), self.bench(tmp_path / "a"), self.bench(tmp_path / "b")]
        found = [probe.weigh(subject, source=source, settings=settings, bench=bench) for bench in benches]
        values = [[(m.measure, m.comparison, m.value, m.interval) for m in one.measurements] for one in found]
        assert values[0] == values[1] == values[2]


class FileProbeSuite(ABC):
    """What every `FileProbe` must do."""

    @abstractmethod
    def probe(self) -> FileProbe:
        """Return the probe."""

    @abstractmethod
    def bench(self, folder: Path) -> Bench:
        """Return a bench whose own folder is below `folder`."""

    @abstractmethod
    def bad(self, folder: Path) -> None:
        """Write a version into `folder` in which the probe finds something."""

    @abstractmethod
    def good(self, folder: Path) -> None:
        """Write a version into `folder` in which it finds nothing of severity `medium` or worse."""

    def test_it_finds_what_is_bad_at_a_place_and_says_what_it_looked_at(self, tmp_path: Path) -> None:
        audit = self._audit(tmp_path, self.bad, threads=1)
        assert any(finding.severity >= Severity.MEDIUM and finding.place for finding in audit.findings)
        assert audit.coverage

    def test_it_lets_be_what_is_good(self, tmp_path: Path) -> None:
        audit = self._audit(tmp_path, self.good, threads=1)
        assert not [finding for finding in audit.findings if finding.severity >= Severity.MEDIUM]
        assert audit.coverage

    def test_it_finds_the_same_with_any_number_of_threads(self, tmp_path: Path) -> None:
        one, many = (self._audit(tmp_path / str(count), self.bad, threads=count) for count in (1, 4))
        assert set(one.findings) == set(many.findings)

    def _audit(self, root: Path, write: Callable[[Path], None], *, threads: int) -> Audit:
        folder = root / "version"
        folder.mkdir(parents=True)
        write(folder)
        probe = self.probe()
        subject = Subject(name="a version", digest="5" * 64, folder=folder, checkpoint=inspect(folder).checkpoint)
        audit = probe.begin(subject, self.bench(root / "bench"))
        assert audit is not None, "there is something to look for in this version"
        done = audit.finish(read_folder(folder, visitors=[audit], threads=threads))
        assert (done.probe, done.probe_version, done.subject) == (probe.name, probe.version, subject.digest)
        assert Audit.from_json(json.loads(json.dumps(done.to_json()))) == done
        return done


class ByteStoreSuite(ABC):
    """What every `ByteStore` must do."""

    @abstractmethod
    def store(self) -> ByteStore:
        """Return the store, usable. Every call gives the same bytes to see; other objects may be in it."""

    def test_it_can_be_used_and_says_where_it_is(self) -> None:
        store = self.store()
        store.check()
        assert store.place

    def test_what_is_written_reads_back(self) -> None:
        store, key = self.store(), _fresh_key()
        for number, data in enumerate((b"", b"x", bytes(range(256)) * 1000)):
            assert store.write(f"{key}/{number}", data) == len(data)
            assert store.read(f"{key}/{number}") == data
            assert store.size(f"{key}/{number}") == len(data)
            assert b"".join(store.open_blocks(f"{key}/{number}")) == data

    def test_bytes_may_come_in_pieces_of_any_size(self) -> None:
        store, key = self.store(), _fresh_key()
        pieces = (b"", b"one", b"", b"two" * 100_000, b"three")
        assert store.write(f"{key}/pieces", iter(pieces)) == len(b"".join(pieces))
        assert store.read(f"{key}/pieces") == b"".join(pieces)
        assert store.write(f"{key}/none", ()) == 0
        assert store.size(f"{key}/none") == 0
        assert store.write(f"{key}/view", memoryview(b"0123456789")[2:5]) == 3
        assert store.read(f"{key}/view") == b"234"

    def test_writing_the_same_again_changes_nothing(self) -> None:
        store, key = self.store(), _fresh_key()
        store.write(key, b"same")
        store.write(key, b"same")
        assert store.read(key) == b"same"

    def test_nothing_is_visible_before_the_end_or_after_a_failure(self) -> None:
        store, key = self.store(), _fresh_key()

        def pieces() -> Iterator[bytes]:
            for _ in range(5):
                assert store.size(key) is None
                assert not list(store.list(key.rpartition("/")[0]))
                yield b"p" * (5 << 20)
            raise ConnectionResetError("the client went away")

        _expect(ConnectionResetError, lambda: store.write(key, pieces()))
        assert store.size(key) is None
        assert not list(store.list(key.rpartition("/")[0]))
        assert store.sweep(older_than_seconds=0) == 0, "something was left behind"

    def test_ranges_are_exact(self) -> None:
        store, key, data = self.store(), _fresh_key(), bytes(range(256)) * 40
        store.write(key, data)
        for start, end in ((0, 1), (0, 10240), (255, 257), (10239, 10240), (5, 5), (10240, 10240)):
            assert store.read_range(key, start, end) == data[start:end]
        ranges = ((9000, 9010), (0, 3), (2, 8000), (10239, 10240))
        assert store.read_ranges(key, ranges) == tuple(data[start:end] for start, end in ranges)
        assert store.read_ranges(key, ()) == ()

    def test_a_range_that_the_object_does_not_have_is_refused(self) -> None:
        store, key = self.store(), _fresh_key()
        store.write(key, b"0123456789")
        for start, end in ((0, 11), (9, 11), (10, 11), (11, 11), (50, 60), (3, 2), (-1, 2)):
            _expect(ByteStoreError, partial(store.read_range, key, start, end))
            _expect(ByteStoreError, partial(store.read_ranges, key, ((0, 2), (start, end))))
        _expect(ByteStoreError, lambda: store.open_blocks(key, start=11))
        _expect(ByteStoreError, lambda: store.open_blocks(key, end=11))

    def test_reads_are_bounded(self) -> None:
        store, key = self.store(), _fresh_key()
        store.write(key, b"0123456789")
        assert store.read(key, limit=10) == b"0123456789"
        _expect(ByteStoreError, lambda: store.read(key, limit=9))
        _expect(ByteStoreError, lambda: store.read_range(key, 0, 10, limit=9))
        _expect(ByteStoreError, lambda: store.read_ranges(key, ((0, 5), (5, 10)), limit=9))

    def test_blocks_have_the_size_that_was_asked_for(self) -> None:
        store, key, data = self.store(), _fresh_key(), secrets.token_bytes(1000)
        store.write(key, data)
        assert [len(block) for block in store.open_blocks(key, block_bytes=300)] == [300, 300, 300, 100]
        assert b"".join(store.open_blocks(key, block_bytes=7, start=10, end=990)) == data[10:990]
        assert list(store.open_blocks(key, start=1000)) == []
        begun = store.open_blocks(key, block_bytes=10)
        assert next(begun) == data[:10]
        del begun

    def test_what_is_missing_is_said_to_be_at_once(self) -> None:
        store, key = self.store(), _fresh_key()
        assert store.size(key) is None
        assert store.local_path(key) is None
        _expect(MissingObjectError, lambda: store.read(key))
        _expect(MissingObjectError, lambda: store.read_range(key, 0, 1))
        _expect(MissingObjectError, lambda: store.read_range(key, 0, 0))
        _expect(MissingObjectError, lambda: store.read_ranges(key, ((0, 1), (1, 2))))
        _expect(MissingObjectError, lambda: store.open_blocks(key))

    def test_deleting_twice_is_deleting_once(self) -> None:
        store, folder = self.store(), _fresh_key()
        keys = [f"{folder}/{number}" for number in range(5)]
        for key in keys:
            store.write(key, b"x")
        store.delete([*keys[:2], f"{folder}/never-there"])
        store.delete(iter(keys[:3]))
        store.delete(())
        assert [store.size(key) for key in keys] == [None, None, None, 1, 1]

    def test_a_listing_names_all_below_whole_segments(self) -> None:
        store, folder = self.store(), _fresh_key()
        sizes = {f"{folder}/ab/{number}": number for number in range(7)} | {f"{folder}/abc/x": 3, f"{folder}/y": 1}
        for key, size in sizes.items():
            store.write(key, b"x" * size)
        assert {found.key: found.size_bytes for found in store.list(folder)} == sizes
        assert {found.key for found in store.list(f"{folder}/ab")} == {f"{folder}/ab/{number}" for number in range(7)}
        assert {found.key for found in store.list(f"{folder}/ab/")} == {f"{folder}/ab/{number}" for number in range(7)}
        assert list(store.list(f"{folder}/a")) == []
        assert set(sizes) <= {found.key for found in store.list()}
        assert all(found.modified_ms > 1_500_000_000_000 for found in store.list(folder))

    def test_names_that_are_no_keys_are_refused(self) -> None:
        store = self.store()
        for key in _NO_KEYS:
            for use in (
                partial(store.write, key, b"x"),
                partial(store.read, key),
                partial(store.read_range, key, 0, 1),
                partial(store.read_ranges, key, ((0, 1), (1, 2))),
                partial(store.open_blocks, key),
                partial(store.size, key),
                partial(store.delete, [key]),
                partial(store.local_path, key),
                partial(store.signed_get, key, seconds=1),
                partial(store.signed_put, key, seconds=1, size_bytes=1),
            ):
                _expect(UnsafeKeyError, use)
            if key:
                _expect(UnsafeKeyError, partial(store.list, key + "/"))

    def test_threads_do_not_disturb_each_other(self) -> None:
        store, folder = self.store(), _fresh_key()

        def work(number: int) -> bool:
            key, data = f"{folder}/{number}/only", bytes([number]) * 10_000
            store.write(key, data)
            same = store.read(key) == data
            store.delete((key,))
            return same and store.size(key) is None

        with ThreadPoolExecutor(max_workers=8) as pool:
            assert all(pool.map(work, range(64)))

    def test_a_local_path_is_the_object(self) -> None:
        store, key = self.store(), _fresh_key()
        store.write(key, b"0123456789")
        path = store.local_path(key)
        assert path is None or path.read_bytes() == b"0123456789"


_NO_KEYS = (
    "", "/", "/etc/passwd", "..", ".", "a/..", "../a", "a/../b", "a//b", "a/", "a/./b", ".partial/x", "a/.b", "a\0b",
    "a b", "a\\b", "a\n", "ü", "a%2fb", "-a", "a:b", "a?b", "a#b", "x" * 201, "a/" * 300 + "a",
)  # fmt: skip


def _fresh_key() -> str:
    return f"suite/{secrets.token_hex(8)}/object"


def _expect(kind: type[Exception], work: Callable[[], object]) -> None:
    try:
        work()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")
