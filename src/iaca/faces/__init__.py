"""Faces in videos: detected, tracked, aligned, stored. Importing this package loads no torch."""

from iaca.faces.detect import Detection, FaceConfig, FaceDetector, PeopleRule, Side, align, iou, make_detector
from iaca.faces.extract import (
    FaceImages,
    decode_face,
    encode_face,
    extract_faces,
    extract_faces_file,
    extract_people_files,
    iter_faces,
    read_faces,
    write_faces,
)

__all__ = [
    "Detection",
    "FaceConfig",
    "FaceDetector",
    "FaceImages",
    "PeopleRule",
    "Side",
    "align",
    "decode_face",
    "encode_face",
    "extract_faces",
    "extract_faces_file",
    "extract_people_files",
    "iou",
    "iter_faces",
    "make_detector",
    "read_faces",
    "write_faces",
]
