"""LUTs of binary kernels: ours, what Yosys makes of a plain sum, and FINN's published figures.

    python benchmarks/kernels.py [--json FILE]

All by Yosys for 7-series in one run. First the count of N bits; then a whole lane of a binary
MVAU, which multiplies SIMD pairs of bits a cycle, adds up nine such words and compares with a
threshold: what each of four more lanes adds, memories of weights apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hwgen.backends.yosys import FLOW, Usage
from hwgen.backends.yosys_pool import Library, Pool
from hwgen.build import yosys_cache
from hwgen.files import Files
from hwgen.layers.base import RtlInstance
from hwgen.layers.compressor import compress
from hwgen.layers.compressor_rtl import describe
from hwgen.layers.pipeline import SPAN
from hwgen.render import render
from hwgen.resources import data_folder
from tests.rtl.kernels import sign_by

MHZ = 100
FINN = {64: 62, 128: 125, 256: 253, 512: 510}  # LUTs of FINN's compressor generator, published
SIMDS, FOLDS, LANES = (32, 64, 128, 256), 9, 4
UNITS = {
    "AND in resets": "AND in flip-flop resets, compressor tree",
    "XNOR pairs": "XNOR pairs, compressor tree",
    "adders": "behavioural",
}

COUNT = """`default_nettype none
module plain_count #(parameter int unsigned N = 64) (
    input wire logic clk_i, input wire logic [N-1:0] bits_i, output logic [$clog2(N+1)-1:0] sum_o
);
  logic [N-1:0] bits;
  always_ff @(posedge clk_i) begin
    bits  <= bits_i;
    sum_o <= $countones(bits);
  end
endmodule
`default_nettype wire
"""

# as a textbook has it: products, their sum, an accumulator, a comparator
LANE = """`default_nettype none
module plain_lanes #(
    parameter int unsigned SIMD = 64, parameter int unsigned PE = 4, parameter int unsigned BITS = 8
) (
    input wire logic clk_i, input wire logic first_i,
    input wire logic [SIMD-1:0] a_i, input wire logic [PE*SIMD-1:0] w_i,
    input wire logic [PE*BITS-1:0] threshold_i, output logic [PE-1:0] sign_o
);
  logic [SIMD-1:0] a;
  logic first;
  always_ff @(posedge clk_i) begin
    a <= a_i;
    first <= first_i;
  end
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    logic [SIMD-1:0] w;
    logic [BITS-1:0] count, sum;
    always_ff @(posedge clk_i) begin
      w         <= w_i[SIMD*p+:SIMD];
      count     <= $countones(~(a ^ w));
      sum       <= first ? count : sum + count;
      sign_o[p] <= sum >= threshold_i[BITS*p+:BITS];
    end
  end
endmodule
`default_nettype wire
"""

console = Console()
Rows = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Bench:
    """Instances to synthesise, and the files they take."""

    instances: dict[tuple[str, int, int], RtlInstance]
    sources: dict[str, str]

    def luts(self) -> Mapping[tuple[str, int, int], float]:
        """By what was asked for."""
        with tempfile.TemporaryDirectory() as folder:
            rtl = Path(folder)
            for path in (data_folder("templates") / "rtl").glob("*.sv"):
                (rtl / path.name).write_text(path.read_text())
            Files({f"{name}.sv": text.encode() for name, text in self.sources.items()}).write(rtl)
            library = Library.read(rtl, MHZ)
            pool: Pool[Usage] = Pool(library, FLOW, yosys_cache(), jobs=2, timeout_s=1800)
            return {name: used.resources.lut for name, used in pool.run(self.instances).items()}


def counts() -> Rows:
    """LUTs that count N bits."""
    bench = Bench({}, {"plain_count": COUNT})
    for n in FINN:
        name = f"tree_{n}"
        tree = describe(compress(tuple((0, 0) for _ in range(n)), SPAN), name)
        bench.sources[name] = render("structural/compressor.sv.j2", tree).decode()
        bench.instances["hwgen", n, 1] = RtlInstance(name, {})
        bench.instances["Yosys", n, 1] = RtlInstance("plain_count", {"N": n})
    found = bench.luts()
    return {
        str(n): {"hwgen": found["hwgen", n, 1], "FINN": finn, "Yosys": found["Yosys", n, 1]}
        for n, finn in FINN.items()
    }


def lanes() -> Rows:
    """LUTs of a lane, by circuit and SIMD."""
    bench = Bench({}, {"plain_lanes": LANE})
    for simd in SIMDS:
        for pe in (LANES, 2 * LANES):
            for unit in list(UNITS)[:2]:
                layer, folding = sign_by(UNITS[unit], 1, FOLDS * simd, 64, pe, simd)
                instance = layer.rtl(folding)
                bench.instances[unit, simd, pe] = instance
                texts = {name: text.decode() for name, text in instance.sources.items()}
                bench.sources.update(texts)
            bits = (FOLDS * simd).bit_length()
            parameters = {"SIMD": simd, "PE": pe, "BITS": bits}
            bench.instances["adders", simd, pe] = RtlInstance("plain_lanes", parameters)
    found = bench.luts()
    return {
        str(simd): {
            unit: (found[unit, simd, 2 * LANES] - found[unit, simd, LANES]) / LANES
            for unit in UNITS
        }
        for simd in SIMDS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    found = {"count": counts(), "lane": lanes()}
    table = Table("bits", "hwgen", "FINN, published", "Yosys", "FINN / hwgen", "Yosys / hwgen")
    table.title = "LUTs that count N bits"
    for n, row in found["count"].items():
        ours, finn, plain = row.values()
        ratios = (f"{finn / ours:.2f}", f"{plain / ours:.2f}")
        table.add_row(n, *(f"{x:.0f} ({x / int(n):.2f} a bit)" for x in row.values()), *ratios)
    console.print(table)
    table = Table("SIMD", *UNITS, "behavioural / ours", title="LUTs of a lane of a binary MVAU")
    for simd, row in found["lane"].items():
        ratio = f"{row['adders'] / min(row.values()):.2f}"
        table.add_row(simd, *(f"{x:.1f} ({x / int(simd):.2f} a MAC)" for x in row.values()), ratio)
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
