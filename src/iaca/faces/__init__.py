"""Faces of the person in a video: detected, followed, aligned, stored. Importing it loads no torch."""

from iaca.faces.config import FaceConfig, Side
from iaca.faces.detector import Detection, FaceDetector, iou, make_detector
from iaca.faces.extract import decode_face, encode_face, extract_faces, extract_faces_file
from iaca.faces.images import FaceImages
from iaca.faces.table import iter_faces, read_faces, write_faces
from iaca.faces.template import align

__all__ = [
    "Detection",
    "FaceConfig",
    "FaceDetector",
    "FaceImages",
    "Side",
    "align",
    "decode_face",
    "encode_face",
    "extract_faces",
    "extract_faces_file",
    "iou",
    "iter_faces",
    "make_detector",
    "read_faces",
    "write_faces",
]
