// Integer matrix-vector product with bias.
//
//   y[m] = bias[m] + sum over k of x[k] * W[k, m]; exact where ACC_BITS holds y
//
// K, M                 rows and columns of the weight matrix
// SIMD, PE             rows and columns a cycle; they divide K and M. SF = K/SIMD, NF = M/PE.
// A_BITS, A_SIGNED     type of x; A_SIGNED = 1 is two's complement
// W_BITS, W_SIGNED     type of W
// W_BIPOLAR            1: an entry of W is one bit, 1 for +1 and 0 for -1
// DSP                  1: products are made in DSP blocks; 0: in LUTs (multiply.sv)
// ACC_BITS             bits of an output lane
// WEIGHTS              memory file; word nf*SF + sf holds W[sf*SIMD + i, nf*PE + p] at bit
//                      (p*SIMD + i)*W_BITS
// STYLE                where the weights lie, as rom.sv has it
// SPAN                 adders between registers, the accumulator's included
// REGISTER             1: another register behind the read of the weights, and beside it
// BIAS                 memory file; word nf holds bias[nf*PE + p] at bit p*ACC_BITS
//
// Input: SF beats a pixel, row 0 lowest. Output: NF beats a pixel, lane 0 lowest.
// Initiation interval SF*NF a pixel, without a bubble between pixels. Latency 3 + STAGES + REGISTER from the
// last beat of a vector that leaves the replay buffer (without one: that arrives) to y.
// s_ready_o depends combinationally on m_ready_i where NF = 1 or SF = 1.
// Memories: the replay buffer (LUTRAM); weights and bias (rom.sv).
// Products are registered, so they fit DSP blocks where DSP is 1.
`default_nettype none

module mvau_int #(
    parameter int unsigned K        = 27,
    parameter int unsigned M        = 8,
    parameter int unsigned SIMD     = 9,
    parameter int unsigned PE       = 4,
    parameter int unsigned A_BITS   = 8,
    parameter int unsigned A_SIGNED = 0,
    parameter int unsigned W_BITS   = 8,
    parameter int unsigned W_SIGNED = 1,
    parameter int unsigned W_BIPOLAR = 0,
    parameter int unsigned DSP      = 1,
    parameter int unsigned ACC_BITS = 21,
    parameter int unsigned STYLE    = 0,
    parameter int unsigned SPAN     = 4,
    parameter int unsigned REGISTER = 0,
    parameter              WEIGHTS,
    parameter              BIAS
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic                   s_valid_i,
    output wire logic                   s_ready_o,
    input  wire logic [SIMD*A_BITS-1:0] s_data_i,
    output      logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output      logic [PE*ACC_BITS-1:0] m_data_o
);
  if (SIMD < 1 || PE < 1 || K < 1 || M < 1 || K % SIMD != 0 || M % PE != 0) begin : gen_bad_shape
    $error("mvau_int: SIMD must divide K and PE must divide M");
  end
  if (A_BITS < 1 || W_BITS < 1 || ACC_BITS < 1 || SPAN < 1) begin : gen_bad_bits
    $error("mvau_int: A_BITS, W_BITS, ACC_BITS and SPAN must be at least 1");
  end

  localparam int unsigned SF = K / SIMD;
  localparam int unsigned NF = M / PE;
  localparam int unsigned INDEX_BITS = SF * NF > 1 ? $clog2(SF * NF) : 1;
  localparam int unsigned FOLD_BITS = NF > 1 ? $clog2(NF) : 1;
  localparam int unsigned PRODUCT_BITS =
      A_BITS + W_BITS + (A_SIGNED + W_SIGNED == 0 && W_BIPOLAR == 0 ? 1 : 0);
  localparam int unsigned SUM_BITS = PRODUCT_BITS + $clog2(SIMD);
  localparam int unsigned STAGES = $clog2(SIMD) / SPAN;
  localparam int unsigned DEPTH = STAGES + REGISTER;

  wire logic en = m_ready_i || !m_valid_o;
  wire logic x_valid, x_last;
  wire logic [SIMD*A_BITS-1:0] x;
  wire logic [INDEX_BITS-1:0] index;
  replay_buffer #(.WIDTH(SIMD * A_BITS), .SF(SF), .NF(NF)) u_replay (
      .clk_i(clk_i), .rst_i(rst_i),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
      .m_valid_o(x_valid), .m_ready_i(en), .m_data_o(x),
      .m_last_o(x_last), .m_index_o(index)
  );

  logic [SIMD*A_BITS-1:0] x_read;
  wire logic [PE*SIMD*W_BITS-1:0] w_read;
  always_ff @(posedge clk_i) if (en) x_read <= x;
  rom #(.WIDTH(PE * SIMD * W_BITS), .DEPTH(SF * NF), .STYLE(STYLE), .INIT(WEIGHTS)) u_weights (
      .clk_i(clk_i), .en_i(en), .addr_i(index), .data_o(w_read)
  );
  wire logic [SIMD*A_BITS-1:0] a;
  wire logic [PE*SIMD*W_BITS-1:0] w;
  delay_line #(.WIDTH(SIMD * (A_BITS + PE * W_BITS)), .CYCLES(REGISTER)) u_operands (
      .clk_i(clk_i), .en_i(en), .data_i({x_read, w_read}), .data_o({a, w})
  );

  // valid and last of what was read (bit 0), the products (bit REGISTER + 1), their sums (the top)
  logic [DEPTH+1:0] valid, last;
  logic first;                 // the next sum starts an accumulation
  logic [FOLD_BITS-1:0] fold;  // of the values one stage before the sums
  wire logic add = en && valid[DEPTH+1];
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid     <= '0;
      first     <= 1'b1;
      fold      <= '0;
      m_valid_o <= 1'b0;
    end else begin
      if (en) begin
        valid     <= {valid[DEPTH:0], x_valid};
        m_valid_o <= valid[DEPTH+1] && last[DEPTH+1];
        if (valid[DEPTH] && last[DEPTH]) fold <= fold == FOLD_BITS'(NF - 1) ? '0 : fold + 1'b1;
      end
      if (add) first <= last[DEPTH+1];
    end
  end
  always_ff @(posedge clk_i) if (en) last <= {last[DEPTH:0], x_last};

  wire logic [PE*ACC_BITS-1:0] bias;  // of the sums
  rom #(.WIDTH(PE * ACC_BITS), .DEPTH(NF), .INIT(BIAS)) u_bias (
      .clk_i(clk_i), .en_i(en), .addr_i(fold), .data_o(bias)
  );

  for (genvar p = 0; p < PE; p++) begin : gen_pe
    logic [SIMD*PRODUCT_BITS-1:0] products;
    for (genvar i = 0; i < SIMD; i++) begin : gen_lane
      wire logic [PRODUCT_BITS-1:0] product;
      multiply #(
          .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS), .W_SIGNED(W_SIGNED),
          .W_BIPOLAR(W_BIPOLAR), .DSP(DSP)
      ) u_product (
          .a_i(a[A_BITS*i+:A_BITS]), .w_i(w[W_BITS*(SIMD*p+i)+:W_BITS]), .product_o(product)
      );
      always_ff @(posedge clk_i) if (en) products[PRODUCT_BITS*i+:PRODUCT_BITS] <= product;
    end
    wire logic [SUM_BITS-1:0] sum;  // its top bits may be more than ACC_BITS
    wire logic unused = &{1'b0, sum};
    adder_tree #(.N(SIMD), .BITS(PRODUCT_BITS), .STAGES(STAGES)) u_sum (
        .clk_i(clk_i), .en_i(en), .data_i(products), .sum_o(sum)
    );
    wire logic [ACC_BITS-1:0] base =
        first ? bias[ACC_BITS*p+:ACC_BITS] : m_data_o[ACC_BITS*p+:ACC_BITS];
    always_ff @(posedge clk_i) begin
      if (add) m_data_o[ACC_BITS*p+:ACC_BITS] <= ACC_BITS'($signed(sum)) + base;
    end
  end
endmodule

`default_nettype wire
