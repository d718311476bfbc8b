import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "truth"), os.path.join(os.path.dirname(os.path.dirname(HERE)), "topology")]
