"""`batch_function` on a cluster of Ray: the images of one machine, whatever becomes of the nodes.

The nodes are processes on this machine.
"""

import pathlib
import re

import pytest
from reference import images
from scripts import run_script

pytest.importorskip("ray.data")
from PIL import Image

pytestmark = pytest.mark.faults

CLUSTER = """
import pathlib, sys, time
import numpy as np
import ray
from PIL import Image
from ray.cluster_utils import Cluster
import fastaug

folder = sys.argv[1]
# a node that is dead is missed after a second, not after a quarter of a minute
config = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 200,
          "health_check_failure_threshold": 5}
node = {"num_cpus": 2, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args=node | {
    "include_dashboard": False, "_system_config": config})
other = cluster.add_node(**node)
ray.init(address=cluster.address)

generator = fastaug.ImageDataGenerator(
    rotation_range=20, zoom_range=0.2, horizontal_flip=True, brightness_range=(0.5, 1.5),
    data_format="channels_last", dtype="float32")
function = generator.batch_function(key="path", seed=5)

def augment(columns):
    time.sleep(0.5)  # so that both nodes have work
    columns = function(columns)
    context, count = ray.get_runtime_context(), len(columns["path"])
    return {**columns, "node": np.repeat(context.get_node_id(), count),
            "keras": np.repeat("keras" in sys.modules, count)}

photos = ray.data.read_images(folder, include_paths=True, override_num_blocks=12)
made = photos.map_batches(augment, batch_format="numpy", batch_size=4)
rows, nodes, count = {}, set(), 0
for row in made.iter_rows():
    count += 1
    rows[row["path"]] = row["image"]
    nodes.add(row["node"])
    assert not row["keras"]
    if len(nodes) == 2 and other is not None:
        assert count < 40, "it is killed after the work is done"
        cluster.remove_node(other, allow_graceful=False)
        other = None
ray.shutdown()
cluster.shutdown()
assert other is None, "one node alone has done the work"
assert count == len(rows) == 48

alone = np.stack([np.asarray(Image.open(path)) for path in rows])
expected = generator.apply(alone, keys=list(rows), seed=5)
assert np.array_equal(np.stack(list(rows.values())), expected)
print("the same images")
"""


def test_the_example_of_the_docs(tmp_path):
    page = pathlib.Path(__file__).parents[2] / "docs" / "loaders.md"
    (code,) = re.findall(r"^```python\n(import ray\n.*?)^```$", page.read_text(), re.M | re.S)
    for number, image in enumerate(images(n=24, height=40, width=44)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    code = code.replace('"photos"', repr(str(tmp_path)))
    done = run_script(f"from fastaug import ImageDataGenerator\n{code}", keras=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [f"torch.Size([{n}, 32, 32, 3])" for n in (16, 8)]


def test_two_nodes_one_of_which_is_killed(tmp_path):
    for number, image in enumerate(images(n=48, height=40, width=44)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    done = run_script(CLUSTER, keras=True, timeout=240, arguments=[tmp_path])
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("the same images\n")
