"""``make bench``: every benchmark, each beside its peer, in one run."""

from tests.bench import recording

if __name__ == "__main__":
    recording.main()
