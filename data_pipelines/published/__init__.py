"""Reads the published benchmarks: PASCAL-5i, COCO-20i, FSS-1000, one file each, and their lists."""
