"""What a kernel says that its code has left behind."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sandlot_kernel.activity import Activity


def activity() -> Activity:
    """As if all threads that there are now were the kernel's own."""
    return Activity(sys._current_frames())


def test_nothing_is_left_behind() -> None:
    assert activity().reasons() == []


def test_a_thread_counts_until_it_ends() -> None:
    own, stop = activity(), threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert own.reasons() == ["a thread"]
    stop.set()
    thread.join()
    assert own.reasons() == []


def test_a_worker_counts_while_it_works() -> None:
    own, stop, at_work = activity(), threading.Event(), threading.Event()

    def work() -> None:
        at_work.set()
        stop.wait()

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(work)
        at_work.wait()
        assert own.reasons() == ["a thread"]
        stop.set()
        job.result()
        while own.reasons():  # from the result to the wait for more it has a step or two to go
            time.sleep(0.001)


def test_a_timer_counts_until_it_is_off() -> None:
    own = activity()
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        assert own.reasons() == ["ITIMER_REAL"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert own.reasons() == []


def test_a_socket_counts_and_a_pair_of_this_process_does_not() -> None:
    own = activity()
    one, other = socket.socketpair()
    with one, other:
        assert own.reasons() == []
    with socket.create_server(("127.0.0.1", 0)):
        assert own.reasons() == [f"a socket of family {socket.AF_INET:d}"]
    assert own.reasons() == []


def test_threads_that_compute_count_whosever_they_are() -> None:
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            pass

    library = threading.Thread(target=compute)
    library.start()
    try:
        own = activity()  # it is known: only what it computes can tell
        own.rest()
        before = time.process_time()
        while time.process_time() < before + 0.1:
            time.sleep(0.001)
        assert own.reasons() == ["a library's threads"]
    finally:
        stop.set()
        library.join()
    own.rest()
    assert own.reasons() == []
