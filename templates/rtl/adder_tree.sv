// Sums N signed integers.
//
// N         operands
// BITS      bits of an operand; the sum has BITS + ceil(log2(N)) bits and is exact
// STAGES    sum_o belongs to the data_i of STAGES enabled cycles ago; 0 is combinational
// LEVEL, LEVELS   set by the module where it instantiates itself; leave them alone
//
// Operand i stands at data_i[BITS*i +: BITS]. A binary tree with the registers spread evenly over
// its levels. Initiation interval 1, no memories.
`default_nettype none

module adder_tree #(
    parameter int unsigned N      = 8,
    parameter int unsigned BITS   = 8,
    parameter int unsigned STAGES = 0,
    parameter int unsigned LEVEL  = $clog2(N),
    parameter int unsigned LEVELS = LEVEL,
    localparam int unsigned SUM_BITS = BITS + LEVEL
) (
    input  wire logic                clk_i,
    input  wire logic                en_i,
    input  wire logic [N*BITS-1:0]   data_i,
    output wire logic [SUM_BITS-1:0] sum_o
);
  localparam int unsigned BELOW = LEVEL == 0 ? 0 : (LEVEL - 1) * (STAGES + 1) / (LEVELS + 1);
  localparam int unsigned LATENCY = LEVEL * (STAGES + 1) / (LEVELS + 1);

  if (N < 1 || BITS < 1 || STAGES > LEVELS) begin : gen_bad
    $error("adder_tree: N and BITS must be at least 1, and STAGES at most the levels of the tree");
  end

  wire logic [SUM_BITS-1:0] sum;
  if (N == 1) begin : gen_leaf
    assign sum = SUM_BITS'($signed(data_i));
    delay_line #(.WIDTH(SUM_BITS), .CYCLES(LATENCY)) u_sum (
        .clk_i(clk_i), .en_i(en_i), .data_i(sum), .data_o(sum_o)
    );
  end else begin : gen_node
    localparam int unsigned LOW = (N + 1) / 2;
    localparam int unsigned HIGH = N - LOW;
    wire logic [SUM_BITS-2:0] low, high;
    adder_tree #(
        .N(LOW), .BITS(BITS), .STAGES(STAGES), .LEVEL(LEVEL - 1), .LEVELS(LEVELS)
    ) u_low (
        .clk_i(clk_i), .en_i(en_i), .data_i(data_i[BITS*LOW-1:0]), .sum_o(low)
    );
    adder_tree #(
        .N(HIGH), .BITS(BITS), .STAGES(STAGES), .LEVEL(LEVEL - 1), .LEVELS(LEVELS)
    ) u_high (
        .clk_i(clk_i), .en_i(en_i), .data_i(data_i[BITS*N-1:BITS*LOW]), .sum_o(high)
    );
    assign sum = SUM_BITS'($signed(low)) + SUM_BITS'($signed(high));
    delay_line #(.WIDTH(SUM_BITS), .CYCLES(LATENCY - BELOW)) u_sum (
        .clk_i(clk_i), .en_i(en_i), .data_i(sum), .data_o(sum_o)
    );
  end
endmodule

`default_nettype wire
