"""Pose of the head from five landmarks: a rigid head under scaled orthography.

The head is five points (`HEAD`), seen from so far away that perspective does not matter. The best affine map from it to
the landmarks is a linear least-squares problem, and the nearest rotation with a scale follows from its singular values
(POS of DeMenthon and Davis, *Model-based object pose in 25 lines of code*, IJCV 1995).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEAD = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 39, -27], [-26, 66, -4], [26, 66, -4]], dtype=np.float64)
"""(5, 3) mm in the order of the landmarks, x to the right and y down in the picture, z away: pupils, tip of the nose
and corners of the mouth of an average adult, to a few mm. Such a head, looking into the camera, has pose 0."""
_CENTRED = HEAD - HEAD.mean(axis=0)


def head_pose(landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """Yaw, pitch and roll (t, 3) in degrees of landmarks (t, 5, 2) in px; NaN where landmarks are not finite or
    coincide. Signs are those of the cue table; the head turns by pitch first, then yaw, then roll."""
    pose = np.full((len(landmarks), 3), np.nan, np.float32)
    fine = np.isfinite(landmarks).all(axis=(1, 2)) & (np.ptp(landmarks, axis=1) > 0).all(axis=1)
    if fine.any():
        pose[fine] = _angles(_rotations(np.asarray(landmarks[fine], np.float64)))
    return pose


def _rotations(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks (n, 5, 2) -> rotations (n, 3, 3) of `HEAD`."""
    centred = points - points.mean(axis=1, keepdims=True)
    affine = np.einsum("npi,pj->nij", centred, np.linalg.pinv(_CENTRED).T)  # (n, 2, 3)
    u, _, v = np.linalg.svd(affine, full_matrices=False)
    across = u @ v  # the nearest two orthonormal rows
    return np.concatenate([across, np.cross(across[:, 0], across[:, 1])[:, None]], axis=1)


def _angles(r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations R = Rz Ry Rx (n, 3, 3) -> yaw, pitch, roll (n, 3) in degrees."""
    yaw = np.arcsin(np.clip(r[:, 2, 0], -1, 1))
    pitch = -np.arctan2(r[:, 2, 1], r[:, 2, 2])
    roll = np.arctan2(r[:, 1, 0], r[:, 0, 0])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=1)))
