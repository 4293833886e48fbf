// Counts N - 1 steps up to 0, over and over.
//
// N   numbers: 1 - N .. 0, two's complement
//
// A step in cycles with en_i. last_o: count_o is 0, which of many numbers is its sign, not a
// comparison.
`default_nettype none

module wrap_counter #(
    parameter int unsigned N = 8,
    localparam int unsigned BITS = N > 4 ? $clog2(N) + 1 : N > 1 ? $clog2(N) : 1
) (
    input  wire logic            clk_i,
    input  wire logic            rst_i,
    input  wire logic            en_i,
    output wire logic [BITS-1:0] count_o,
    output wire logic            last_o
);
  if (N < 1) begin : gen_bad
    $error("wrap_counter: N must be at least 1");
  end

  localparam logic [BITS-1:0] START = BITS'(1 - int'(N));
  if (N == 1) begin : gen_still
    assign count_o = '0;
    assign last_o  = 1'b1;
    wire logic unused = &{1'b0, clk_i, rst_i, en_i};
  end else begin : gen_counter
    logic [BITS-1:0] count;
    assign count_o = count;
    assign last_o  = N > 4 ? !count[BITS-1] : count == '0;
    always_ff @(posedge clk_i) begin
      if (rst_i) count <= START;
      else if (en_i) count <= count + (last_o ? START : BITS'(1));
    end
  end
endmodule

`default_nettype wire
