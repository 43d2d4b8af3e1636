"""Trained networks and scans: what a network says of a scan comes back on the scan's own grid.

scan       labels and maps of a network for volumes, window by window
opening    a segmenter of slices, by the folder of its run or by a shipped name
reading    what a segmenter of slices says of a scan, on its working grid
masks      lungs and lesions of one scan: the network and the classical outline together
"""

from glasslung.predict.scan import EDGES, Network, Prediction, Settings, predict

__all__ = ["EDGES", "Network", "Prediction", "Settings", "predict"]
