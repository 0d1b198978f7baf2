"""How many threads TensorFlow sums with: a process each, since it is chosen once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from training.models import make_model
make_model("basket_lstm")
import tensorflow as tf
threading = tf.config.threading
print(threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())
"""

INTRA, INTER = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"


@pytest.mark.parametrize(("chosen", "threads"), [({}, "1 1"), ({INTRA: "2"}, "0 1"), ({INTER: "2"}, "1 0")])
def test_a_model_is_trained_with_one_thread_unless_the_environment_says_otherwise(
    chosen: dict[str, str], threads: str
) -> None:
    # 0 is TensorFlow's word for: as the environment says.
    environment = {name: value for name, value in os.environ.items() if name not in {INTRA, INTER}}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | chosen,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == threads.split()
