"""Times the usual alternatives, torch.linalg.svdvals(W) and eigvalsh(W^T W), on the same GPU and the same kind of matrices.

    python3 torch_peer.py 1024,28672x8192 float32,float64 > torch.json
"""

import json
import sys
import time

import torch


def median_seconds(function, runs, limit):
    """Median of several runs after a warm-up; fewer runs if one is slow."""
    function()
    torch.cuda.synchronize()
    times = []
    while len(times) < runs and sum(times) < limit:
        start = time.perf_counter()
        function()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], times


def main():
    results = []
    for shape in sys.argv[1].split(","):
        rows, cols = (int(size) for size in (shape.split("x") * 2)[:2])
        generator = torch.Generator(device="cuda").manual_seed(rows + cols)
        weights = torch.randn(rows, cols, generator=generator, device="cuda").to(torch.bfloat16)
        for dtype in sys.argv[2].split(","):
            w = weights.to(getattr(torch, dtype))
            # The smaller Gram matrix.
            tall = w if rows >= cols else w.T
            peers = {
                "svdvals": lambda: torch.linalg.svdvals(w),
                "eigvalsh": lambda: torch.linalg.eigvalsh(tall.T @ tall),
            }
            for name, function in peers.items():
                seconds, times = median_seconds(function, runs=3, limit=6.0)
                results.append({"peer": name, "rows": rows, "cols": cols, "dtype": dtype, "seconds": seconds, "runs": times})
                print(json.dumps(results[-1]), file=sys.stderr)
    about = {"torch": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name()}
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = False
    main()
