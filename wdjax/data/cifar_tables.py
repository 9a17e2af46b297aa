"""What was published as CIFAR-10 and CIFAR-100: files, digests, layouts, classes.

The digests are MD5 of the archives' members, so that an unpacked copy, a packed one
and a repacked one are checked alike.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from wdjax.data.cifar_parsing import PIXEL_BYTES, parse_binary, parse_python
from wdjax.data.types import Split


class Version(NamedTuple):
    """One of the forms in which a set was published.

    Attributes:
        subfolder: the folder inside the archive.
        archive: the archive's file name.
        train: MD5 of each training file, by name, in order.
        test: MD5 of the test file, by name.
        record_bytes: a file is a whole number of these; 1 says nothing.
        parse: ``parse(payload, where, num_classes=…)``, from a file to its records.
    """

    subfolder: str
    archive: str
    train: Mapping[str, str]
    test: Mapping[str, str]
    record_bytes: int
    parse: Callable[..., Split]


class CifarSet(NamedTuple):
    """One of the two sets.

    Attributes:
        name: as it is printed.
        classes: the name of each label.
        first_labels: the first labels of the training set, to check the parsing by.
        versions: in the order in which they are looked for.
    """

    name: str
    classes: tuple[str, ...]
    first_labels: tuple[int, ...]
    versions: tuple[Version, ...]


CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"

CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge
bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud
cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox
girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man
maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel
streetcar sunflower sweet_pepper table tank telephone television tiger tractor train
trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR10 = CifarSet(
    name="CIFAR-10",
    classes=tuple(CIFAR10_NAMES.split()),
    first_labels=(6, 9, 9, 4, 1, 1, 2, 7, 8, 3),
    versions=(
        Version(
            subfolder="cifar-10-batches-bin",
            archive="cifar-10-binary.tar.gz",
            train=MappingProxyType(
                {
                    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
                    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
                    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
                    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
                    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
                }
            ),
            test=MappingProxyType(
                {"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"}
            ),
            record_bytes=1 + PIXEL_BYTES,
            parse=functools.partial(parse_binary, label_bytes=1),
        ),
        Version(
            subfolder="cifar-10-batches-py",
            archive="cifar-10-python.tar.gz",
            train=MappingProxyType(
                {
                    "data_batch_1": "c99cafc152244af753f735de768cd75f",
                    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                    "data_batch_4": "634d18415352ddfa80567beed471001a",
                    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                }
            ),
            test=MappingProxyType({"test_batch": "40351d587109b95175f43aff81a1287e"}),
            record_bytes=1,
            parse=functools.partial(parse_python, label_key=b"labels"),
        ),
    ),
)

CIFAR100 = CifarSet(
    name="CIFAR-100",
    classes=tuple(CIFAR100_NAMES.split()),
    first_labels=(),
    versions=(
        Version(
            subfolder="cifar-100-binary",
            archive="cifar-100-binary.tar.gz",
            train=MappingProxyType({"train.bin": "6172c7755cfe09b2fe270c85cebc1b15"}),
            test=MappingProxyType({"test.bin": "4499cfba6c016c1be1438163640a0898"}),
            # A coarse label, a fine one, the pixels.
            record_bytes=2 + PIXEL_BYTES,
            parse=functools.partial(parse_binary, label_bytes=2),
        ),
        Version(
            subfolder="cifar-100-python",
            archive="cifar-100-python.tar.gz",
            train=MappingProxyType({"train": "16019d7e3df5f24257cddd939b257f8d"}),
            test=MappingProxyType({"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}),
            record_bytes=1,
            parse=functools.partial(parse_python, label_key=b"fine_labels"),
        ),
    ),
)
