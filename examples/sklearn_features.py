"""Features of a folder into scikit-learn's linear SVM and logistic regression.

    pip install '.[hdf5,litert]' scikit-learn       # in a checkout
    python examples/sklearn_features.py photos/ --features features.h5

`photos/` holds one folder per label. The features of the network's pooled layer go to an HDF5
file, which other tools can read too; half of the pictures train, the other half test.
`--tensor NAME` takes the features of another layer.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer
from sklearn.svm import LinearSVC

from edgeinc import EdgeincError
from edgeinc.export import embed_folder


def signed_root(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Element-wise square root that keeps the sign."""
    return np.sign(x) * np.sqrt(np.abs(x))


def main() -> int:
    """Runs the example; returns the exit status."""
    parser = argparse.ArgumentParser(description="Train linear models of scikit-learn.")
    parser.add_argument("folder", type=Path, help="a folder that holds one folder per label")
    parser.add_argument("--features", type=Path, default=Path("features.h5"), help="HDF5 file")
    parser.add_argument("--backbone", help="a model's name or card; default: the embedded one")
    parser.add_argument("--tensor", help="another layer of the network")
    options = parser.parse_args()
    try:
        embed_folder(
            options.folder, options.features, backbone=options.backbone, tensor=options.tensor
        )
    except EdgeincError as exc:
        print(exc, file=sys.stderr)
        return 1
    with h5py.File(options.features) as file:
        features, labels = file["features"][:], file["labels"][:]
    features = features.reshape(len(features), -1)
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.min() < 2:
        print("At least two classes with two readable pictures each are needed.", file=sys.stderr)
        return 1
    print(f"{features.shape[0]} pictures, {features.shape[1]} features each")
    x, x_test, y, y_test = train_test_split(
        features, labels, test_size=0.5, stratify=labels, random_state=0
    )
    for model in (LinearSVC(C=10), LogisticRegression(C=100, max_iter=1000)):
        # The length tells contrast, not kind; the square root tempers the strongest channels.
        pipeline = make_pipeline(FunctionTransformer(signed_root), Normalizer(), model)
        accuracy = pipeline.fit(x, y).score(x_test, y_test)
        print(f"{type(model).__name__}: {accuracy:.1%} of {len(y_test)} right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
