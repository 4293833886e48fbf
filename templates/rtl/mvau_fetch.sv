// Operands of a matrix-vector product, in step with the cycles in which they are worked on.
//
// K, M        rows and columns of the weight matrix
// SIMD, PE    rows and columns a cycle; they divide K and M. SF = K/SIMD, NF = M/PE.
// BITS        bits of an element of the input
// EXTRA       further bits of a weight word for every column
// STAGES      registers between operands and the sum that adds them up
// REGISTER    1: another register behind the read of the weights, and beside it
// LATE        1: the operands stop a cycle before everything else does
// STYLE       where the weights lie, as rom.sv has it
// WEIGHTS     memory file; word nf*SF + sf holds W[sf*SIMD + i, nf*PE + p] at bit p*SIMD + i, and
//             the further bits of column p at bit PE*SIMD + p*EXTRA
//
// a_o and w_o change in cycles that go on; what is computed of them has en_o as its enable. With
// LATE, en_o is a cycle behind: a register with en_o that takes in a function of a_o and w_o
// holds the same function of the same operands for as long as en_o is low. A sum must then not be
// finished in two cycles in a row (SF = 1).
// In a cycle with add_o, STAGES cycles with en_o behind its operands, the sum takes them in; first_o
// and last_o mark the first and the last time for a column, and extra_o are the further bits.
// m_valid_o follows the last time and stays until m_ready_i.
// s_ready_o depends combinationally on m_ready_i where NF = 1 or SF = 1.
// Memories: the replay buffer (LUTRAM) and the weights (rom.sv).
`default_nettype none

module mvau_fetch #(
    parameter int unsigned K      = 64,
    parameter int unsigned M      = 8,
    parameter int unsigned SIMD   = 32,
    parameter int unsigned BITS   = 1,
    parameter int unsigned PE     = 4,
    parameter int unsigned EXTRA  = 0,
    parameter int unsigned STAGES = 1,
    parameter int unsigned REGISTER = 0,
    parameter int unsigned LATE   = 0,
    parameter int unsigned STYLE  = 0,
    parameter              WEIGHTS,
    localparam int unsigned EXTRA_BITS = EXTRA > 0 ? PE * EXTRA : 1
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire logic                  s_valid_i,
    output wire logic                  s_ready_o,
    input  wire logic [SIMD*BITS-1:0]  s_data_i,
    output      logic                  m_valid_o,
    input  wire logic                  m_ready_i,
    output wire logic [SIMD*BITS-1:0]  a_o,
    output wire logic [PE*SIMD-1:0]    w_o,
    output wire logic                  en_o,
    output wire logic                  add_o,
    output      logic                  first_o,
    output wire logic                  last_o,
    output wire logic [EXTRA_BITS-1:0] extra_o
);
  localparam int unsigned SF = K / SIMD;
  localparam int unsigned NF = M / PE;
  localparam int unsigned INDEX_BITS = SF * NF > 1 ? $clog2(SF * NF) : 1;
  if (SIMD < 1 || PE < 1 || K < 1 || M < 1 || K % SIMD != 0 || M % PE != 0) begin : gen_bad_shape
    $error("mvau_fetch: SIMD must divide K and PE must divide M");
  end
  if (LATE != 0 && (SF < 2 || STAGES < 1 || REGISTER != 0)) begin : gen_bad_late
    $error("mvau_fetch: LATE needs two operands a sum, a stage behind them and no REGISTER");
  end
  localparam int unsigned DEPTH = STAGES + REGISTER;  // registers behind the read

  wire logic go = m_ready_i || !m_valid_o;
  wire logic x_valid, x_last;
  wire logic [SIMD*BITS-1:0] x;
  wire logic [INDEX_BITS-1:0] index;
  replay_buffer #(.WIDTH(SIMD * BITS), .SF(SF), .NF(NF)) u_replay (
      .clk_i(clk_i), .rst_i(rst_i),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
      .m_valid_o(x_valid), .m_ready_i(go), .m_data_o(x),
      .m_last_o(x_last), .m_index_o(index)
  );
  logic [SIMD*BITS-1:0] a;
  always_ff @(posedge clk_i) if (go) a <= x;

  wire logic [PE*(SIMD+EXTRA)-1:0] word;
  rom #(.WIDTH(PE * (SIMD + EXTRA)), .DEPTH(SF * NF), .STYLE(STYLE), .INIT(WEIGHTS)) u_weights (
      .clk_i(clk_i), .en_i(go), .addr_i(index), .data_o(word)
  );
  delay_line #(.WIDTH(SIMD * BITS + PE * SIMD), .CYCLES(REGISTER)) u_operands (
      .clk_i(clk_i), .en_i(go), .data_i({a, word[PE*SIMD-1:0]}), .data_o({a_o, w_o})
  );
  if (EXTRA == 0) begin : gen_no_extra
    assign extra_o = '0;
  end else begin : gen_extra
    delay_line #(.WIDTH(PE * EXTRA), .CYCLES(DEPTH)) u_extra (
        .clk_i(clk_i), .en_i(en_o), .data_i(word[PE*(SIMD+EXTRA)-1:PE*SIMD]), .data_o(extra_o)
    );
  end

  if (LATE != 0) begin : gen_late
    logic late;
    always_ff @(posedge clk_i) late <= go && !rst_i;
    assign en_o = late;
  end else begin : gen_now
    assign en_o = go;
  end

  // valid and last of what was read (bit 0) up to the operands that are added (bit DEPTH)
  logic valid_0, last_0;
  wire logic [DEPTH:0] valid, last;
  assign {valid[0], last[0]} = {valid_0, last_0};
  if (DEPTH > 0) begin : gen_stages
    logic [DEPTH:1] valid_q, last_q;
    always_ff @(posedge clk_i) begin
      if (rst_i) valid_q <= '0;
      else if (en_o) valid_q <= valid[DEPTH-1:0];
    end
    always_ff @(posedge clk_i) if (en_o) last_q <= last[DEPTH-1:0];
    assign {valid[DEPTH:1], last[DEPTH:1]} = {valid_q, last_q};
  end
  assign add_o  = en_o && valid[DEPTH];
  assign last_o = last[DEPTH];

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_0   <= 1'b0;
      first_o   <= 1'b1;
      m_valid_o <= 1'b0;
    end else begin
      if (go) valid_0 <= x_valid;
      if (add_o) first_o <= last_o;
      if (add_o && last_o) m_valid_o <= 1'b1;
      else if (m_ready_i) m_valid_o <= 1'b0;
    end
  end
  always_ff @(posedge clk_i) if (go) last_0 <= x_last;
endmodule

`default_nettype wire
