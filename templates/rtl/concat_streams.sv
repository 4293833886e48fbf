// Joins the channels of several streams, pixel by pixel.
//
//   a pixel at the output is FOLDS[0] beats of port 0, then FOLDS[1] beats of port 1, and so on
//
// Port 0 is the low PE*IN_BITS[0] bits of s_data_i, port 1 lies above it, and so on. Elements are
// extended to OUT_BITS, each by its own type. A beat is taken from the port whose turn it is, and
// from no other: the rest wait.
//
// INPUTS      ports, at least 2
// PE          elements a beat, at every port
// FOLDS       32 bits a port, port 0 lowest: beats a pixel
// IN_BITS     32 bits a port: bits of an element
// IN_SIGNED   32 bits a port: 1 is two's complement
// ALL_BITS    sum of IN_BITS
// OUT_BITS    bits of an element at the output
//
// Latency 1, initiation interval the sum of FOLDS a pixel, without a bubble, no memories.
// s_ready_o depends combinationally on m_ready_i.
`default_nettype none

module concat_streams #(
    parameter int unsigned          INPUTS    = 2,
    parameter int unsigned          PE        = 1,
    parameter logic [32*INPUTS-1:0] FOLDS     = {INPUTS{32'd2}},
    parameter logic [32*INPUTS-1:0] IN_BITS   = {INPUTS{32'd8}},
    parameter logic [32*INPUTS-1:0] IN_SIGNED = {INPUTS{32'd1}},
    parameter int unsigned          ALL_BITS  = 16,
    parameter int unsigned          OUT_BITS  = 8
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic [INPUTS-1:0]      s_valid_i,
    output wire logic [INPUTS-1:0]      s_ready_o,
    input  wire logic [PE*ALL_BITS-1:0] s_data_i,
    output      logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output      logic [PE*OUT_BITS-1:0] m_data_o
);
  // Bits of an element of all ports below `port`.
  function automatic int unsigned below(input int unsigned port);
    below = 0;
    for (int unsigned i = 0; i < port; i++) below = below + IN_BITS[32*i+:32];
  endfunction

  // Beats a pixel of the port that has most.
  function automatic int unsigned longest(input int unsigned ports);
    longest = 0;
    for (int unsigned i = 0; i < ports; i++)
      if (FOLDS[32*i+:32] > longest) longest = FOLDS[32*i+:32];
  endfunction

  localparam int unsigned BEATS = longest(INPUTS);
  localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  if (INPUTS < 2 || PE < 1) begin : gen_bad_inputs
    $error("concat_streams: INPUTS must be at least 2, PE at least 1");
  end
  if (ALL_BITS != below(INPUTS)) begin : gen_bad_sum
    $error("concat_streams: ALL_BITS must be the sum of IN_BITS");
  end

  logic [INPUTS-1:0] turn;    // one-hot: the port whose beat is next
  logic [BEAT_BITS-1:0] beat;  // of that port's part of the pixel
  wire logic en = m_ready_i || !m_valid_o;
  wire logic fire = en && |(s_valid_i & turn);
  assign s_ready_o = en ? turn : '0;

  wire logic [INPUTS-1:0] ends;  // of the port, if it has its turn, this is the last beat
  for (genvar p = 0; p < INPUTS; p++) begin : gen_end
    localparam int unsigned FOLD = FOLDS[32*p+:32];
    if (FOLD < 1) begin : gen_bad_fold
      $error("concat_streams: every element of FOLDS must be at least 1");
    end
    assign ends[p] = beat == BEAT_BITS'(FOLD - 1);
  end
  wire logic last = |(ends & turn);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      turn      <= INPUTS'(1);
      beat      <= '0;
    end else begin
      if (en) m_valid_o <= fire;
      if (fire) beat <= last ? '0 : beat + 1'b1;
      if (fire && last) turn <= {turn[INPUTS-2:0], turn[INPUTS-1]};
    end
  end

  logic [INPUTS*PE*OUT_BITS-1:0] wide;  // every port's beat, extended
  for (genvar p = 0; p < INPUTS; p++) begin : gen_port
    localparam int unsigned BITS = IN_BITS[32*p+:32];
    localparam int unsigned BASE = below(p);
    if (BITS < 1 || BITS > OUT_BITS) begin : gen_bad_bits
      $error("concat_streams: every element of IN_BITS must be 1 .. OUT_BITS");
    end
    for (genvar i = 0; i < PE; i++) begin : gen_lane
      wire logic [BITS-1:0] x = s_data_i[PE*BASE+BITS*i+:BITS];
      assign wide[OUT_BITS*(PE*p+i)+:OUT_BITS] =
          IN_SIGNED[32*p] ? OUT_BITS'($signed(x)) : OUT_BITS'(x);
    end
  end

  logic [PE*OUT_BITS-1:0] chosen;
  always_comb begin
    chosen = '0;
    for (int unsigned p = 0; p < INPUTS; p++)
      if (turn[p]) chosen = chosen | wide[PE*OUT_BITS*p+:PE*OUT_BITS];
  end
  always_ff @(posedge clk_i) if (fire) m_data_o <= chosen;
endmodule

`default_nettype wire
