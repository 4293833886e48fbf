// Counts the positions in which two bit vectors agree, as a tree of carry chains.
//
//   count = popcount(a xnor w), 0 .. SIMD
//
// SIMD            bits of a and w
// STAGES          count_o belongs to the a_i, w_i of STAGES enabled cycles ago; at most LEVELS
// LEVEL, LEVELS   set by the module where it instantiates itself; leave them alone
//
// A leaf counts three positions in two LUTs. A node of level l adds two counts of level l-1 and,
// as carry in, one more position, so that level l counts up to 2^(l+1) - 1 positions and every
// bit of a sum is one LUT: 1.55 LUT a position on LUT6 devices, less where w_i is constant.
// The registers are spread evenly over the levels. Initiation interval 1, no memories.
`default_nettype none

module popcount_tree #(
    parameter int unsigned SIMD   = 64,
    parameter int unsigned STAGES = 0,
    parameter int unsigned LEVEL  = SIMD < 4 ? 1 : $clog2(SIMD + 1) - 1,
    parameter int unsigned LEVELS = LEVEL,
    localparam int unsigned COUNT_BITS = $clog2(SIMD + 1)
) (
    input  wire logic                  clk_i,
    input  wire logic                  en_i,
    input  wire logic [SIMD-1:0]       a_i,
    input  wire logic [SIMD-1:0]       w_i,
    output wire logic [COUNT_BITS-1:0] count_o
);
  // Registers from the inputs to count_o, and to the counts of the level below.
  localparam int unsigned LATENCY = LEVEL * (STAGES + 1) / (LEVELS + 1);
  localparam int unsigned BELOW = (LEVEL - 1) * (STAGES + 1) / (LEVELS + 1);

  if (SIMD < 1 || STAGES > LEVELS) begin : gen_bad
    $error("popcount_tree: SIMD must be at least 1, and STAGES at most the levels of the tree");
  end

  wire logic [COUNT_BITS-1:0] count;
  if (SIMD < 4) begin : gen_leaf
    wire logic [SIMD-1:0] agree = a_i ~^ w_i;
    if (SIMD == 1) begin : gen_one
      assign count = agree;
    end else if (SIMD == 2) begin : gen_two
      assign count = {&agree, ^agree};
    end else begin : gen_three
      assign count = {agree[0] & agree[1] | agree[2] & (agree[0] | agree[1]), ^agree};
    end
    delay_line #(.WIDTH(COUNT_BITS), .CYCLES(LATENCY)) u_count (
        .clk_i(clk_i), .en_i(en_i), .data_i(count), .data_o(count_o)
    );
  end else begin : gen_node
    // What a full tree below this one counts; a node that has more gives the rest to the other side.
    localparam int unsigned FULL = 2 ** ($clog2(SIMD + 1) - 1) - 1;
    localparam int unsigned LOW = SIMD < FULL + 2 ? SIMD / 2 : FULL;
    localparam int unsigned HIGH = SIMD - 1 - LOW;
    wire logic [$clog2(LOW+1)-1:0] low;
    wire logic [$clog2(HIGH+1)-1:0] high;
    wire logic odd, unused;
    popcount_tree #(.SIMD(LOW), .STAGES(STAGES), .LEVEL(LEVEL - 1), .LEVELS(LEVELS)) u_low (
        .clk_i(clk_i), .en_i(en_i),
        .a_i(a_i[LOW-1:0]), .w_i(w_i[LOW-1:0]), .count_o(low)
    );
    popcount_tree #(.SIMD(HIGH), .STAGES(STAGES), .LEVEL(LEVEL - 1), .LEVELS(LEVELS)) u_high (
        .clk_i(clk_i), .en_i(en_i),
        .a_i(a_i[SIMD-2:LOW]), .w_i(w_i[SIMD-2:LOW]), .count_o(high)
    );
    delay_line #(.WIDTH(1), .CYCLES(BELOW)) u_odd (
        .clk_i(clk_i), .en_i(en_i), .data_i(a_i[SIMD-1] ~^ w_i[SIMD-1]), .data_o(odd)
    );
    assign {count, unused} = {COUNT_BITS'(low), 1'b1} + {COUNT_BITS'(high), odd};
    delay_line #(.WIDTH(COUNT_BITS), .CYCLES(LATENCY - BELOW)) u_count (
        .clk_i(clk_i), .en_i(en_i), .data_i(count), .data_o(count_o)
    );
  end
endmodule

`default_nettype wire
