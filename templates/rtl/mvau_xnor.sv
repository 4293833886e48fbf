// Binary matrix-vector product: counts where the K input bits agree with M columns of weights.
//
//   y[m] = popcount(x xnor W[:, m]), 0 .. K, which is (x . W[:, m] + K) / 2 over -1/+1
//
// K, M        rows and columns of the weight matrix
// SIMD, PE    rows and columns a cycle; they divide K and M. SF = K/SIMD, NF = M/PE.
// ACC_BITS    bits of an output lane, at least those of K (K = 2^n needs n+1)
// STYLE       where the weights lie, as rom.sv has it
// SPAN        adders between registers, the accumulator's included
// REGISTER    1: another register behind the read of the weights
// WEIGHTS     memory file; word nf*SF + sf holds W[sf*SIMD + i, nf*PE + p] at bit p*SIMD + i
//
// Input: SF beats a pixel, row i of the beat at bit i. Output: NF beats a pixel, lane p lowest.
// Initiation interval SF*NF a pixel, without a bubble between pixels. Latency 2 + STAGES + REGISTER from the
// last beat of a vector that leaves the replay buffer (without one: that arrives) to y.
// s_ready_o depends combinationally on m_ready_i where NF = 1 or SF = 1.
// Memories: the replay buffer (LUTRAM) and the weights (rom.sv).
// Any family; where the weights are constants, synthesis takes them into the adders.
`default_nettype none

module mvau_xnor #(
    parameter int unsigned K        = 64,
    parameter int unsigned M        = 8,
    parameter int unsigned SIMD     = 32,
    parameter int unsigned PE       = 4,
    parameter int unsigned ACC_BITS = 7,
    parameter int unsigned STYLE    = 0,
    parameter int unsigned SPAN     = 4,
    parameter int unsigned REGISTER = 0,
    parameter              WEIGHTS
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic                   s_valid_i,
    output wire logic                   s_ready_o,
    input  wire logic [SIMD-1:0]        s_data_i,
    output wire logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output      logic [PE*ACC_BITS-1:0] m_data_o
);
  if (SPAN < 1) begin : gen_bad_span
    $error("mvau_xnor: SPAN must be at least 1");
  end
  if (ACC_BITS < $clog2(K + 1)) begin : gen_bad_bits
    $error("mvau_xnor: ACC_BITS must hold K");
  end

  localparam int unsigned COUNT_BITS = $clog2(SIMD + 1);
  localparam int unsigned STAGES = COUNT_BITS < 2 ? 0 : (COUNT_BITS - 1) / SPAN;

  wire logic en, add, first;
  wire logic [SIMD-1:0] a;
  wire logic [PE*SIMD-1:0] w;
  // verilator lint_off UNUSEDSIGNAL
  wire logic last, extra;
  // verilator lint_on UNUSEDSIGNAL
  mvau_fetch #(
      .K(K), .M(M), .SIMD(SIMD), .PE(PE), .STAGES(STAGES), .REGISTER(REGISTER),
      .STYLE(STYLE), .WEIGHTS(WEIGHTS)
  ) u_fetch (
      .clk_i(clk_i), .rst_i(rst_i),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
      .m_valid_o(m_valid_o), .m_ready_i(m_ready_i),
      .a_o(a), .w_o(w), .en_o(en), .add_o(add), .first_o(first), .last_o(last), .extra_o(extra)
  );

  for (genvar p = 0; p < PE; p++) begin : gen_pe
    wire logic [COUNT_BITS-1:0] count;
    xnor_popcount #(.SIMD(SIMD), .STAGES(STAGES)) u_popcount (
        .clk_i(clk_i), .en_i(en),
        .a_i(a), .w_i(w[SIMD*p+:SIMD]), .count_o(count)
    );
    wire logic [ACC_BITS-1:0] sum = first ? '0 : m_data_o[ACC_BITS*p+:ACC_BITS];
    always_ff @(posedge clk_i) begin
      if (add) m_data_o[ACC_BITS*p+:ACC_BITS] <= ACC_BITS'(count) + sum;
    end
  end
endmodule

`default_nettype wire
