"""Import this first, before NumPy and OpenCV: matrix products and resizes of the daemon run in one thread.

The products of lookup are small, and a second BLAS thread that waits for its turn costs more than it gives: on two busy
cores the daemon decided about 26 to 36 crops a second with OpenBLAS's default of two threads and 52 to 61 with one. An
environment that sets the variable itself is left alone. Calibration does not import this: its products are large.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ.setdefault(_name, "1")
