"""Make the embedded set photos10: ten free photographs at short side 256.

Run:      python scripts/make_photos10.py
Needs:    scikit-image 0.26, scikit-learn, Pillow (to make it, not to use it)
Writes:   wdjax/data/photos10/photos10.npz, about 2 MB; a few seconds
Licences: wdjax/data/photos10/LICENCES.md
"""

from pathlib import Path

import numpy as np
import skimage
import sklearn
from PIL import Image

SHORT_SIDE = 256
OUT = Path(__file__).parents[1] / "wdjax" / "data" / "photos10" / "photos10.npz"

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"

# In the order of the class labels.
PHOTOGRAPHS = {
    "astronaut": SKIMAGE / "astronaut.png",
    "camera": SKIMAGE / "camera.png",
    "chelsea": SKIMAGE / "chelsea.png",
    "china": SKLEARN / "china.jpg",
    "coffee": SKIMAGE / "coffee.png",
    "flower": SKLEARN / "flower.jpg",
    "hubble_deep_field": SKIMAGE / "hubble_deep_field.jpg",
    "ihc": SKIMAGE / "ihc.png",
    "retina": SKIMAGE / "retina.jpg",
    "rocket": SKIMAGE / "rocket.jpg",
}


def shrink(path: Path) -> np.ndarray:
    """Read a photograph and reduce it to short side 256, aspect kept."""
    with Image.open(path) as image:
        scale = SHORT_SIDE / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return np.asarray(
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.uint8
        )


def main() -> None:
    """Write the archive and print what is in it."""
    photographs = {name: shrink(path) for name, path in PHOTOGRAPHS.items()}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT, **photographs)
    for name, photograph in photographs.items():
        print(f"{name:18} {photograph.shape}")
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
