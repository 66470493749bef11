"""Ids are UUIDv7, in the order in which they were made."""

import threading
import time

from mentha.core.ids import new_id


def test_ids_of_one_process_ascend_strictly() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_id_tells_version_variant_and_time() -> None:
    made = new_id()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert abs((made.int >> 80) / 1000 - time.time()) < 60


def test_ids_of_many_threads_are_all_different() -> None:
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.extend([new_id() for _ in range(2_000)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16_000
