"""Faces in videos: detected, tracked, aligned, stored. Importing this package loads no torch."""

from iaca.faces.detect import Detection, FaceConfig, FaceDetector, PeopleRule, Side, align, iou, make_detector
from iaca.faces.extract import (
    FaceImages,
    KeptFaces,
    decode_face,
    encode_face,
    extract_faces,
    extract_faces_file,
    iter_faces,
    keep_faces,
    read_faces,
    write_faces,
)

__all__ = [
    "Detection",
    "FaceConfig",
    "FaceDetector",
    "FaceImages",
    "KeptFaces",
    "PeopleRule",
    "Side",
    "align",
    "decode_face",
    "encode_face",
    "extract_faces",
    "extract_faces_file",
    "iou",
    "iter_faces",
    "keep_faces",
    "make_detector",
    "read_faces",
    "write_faces",
]
