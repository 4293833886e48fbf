// Staircase per channel as one line or two: a multiplier a lane instead of a table of thresholds.
//
//   y = OFFSET + clip((M * x + B) >> SHIFT, 0, LEVELS)  mod 2^OUT_BITS
//   (M, B) = lines[c, x >= knees[c]] where SEGMENTS is 2, lines[c] where it is 1
//
// CHANNELS            channels of a pixel
// PE                  channels a beat, divides CHANNELS
// IN_BITS, IN_SIGNED  type of x, and of the knees; IN_SIGNED = 1 is two's complement
// SEGMENTS            lines a channel, 1 or 2
// M_BITS, B_BITS      bits of M, which is unsigned, and of B, two's complement
// SHIFT, SUM_BITS     bits of the fraction; a signed number of SUM_BITS holds every M * x + B
// LEVELS              the highest level
// OUT_BITS, OFFSET    bits of y, and y at level 0, as a bit pattern
// DSP                 1: products in DSP blocks (25 x 18 signed bits each); 0: in LUTs
// SPAN                adders between registers of a product in LUTs; STAGES of them follow
// REGISTER            1: another register behind the read of the lines
// BLOCK               1: the lines lie in block RAM; 0: in LUTs
// KNEES, LINES        prefixes of the memory files <KNEES>_<pp>.mem and <LINES>_<pp>.mem of lane pp
//                     (hexadecimal): of channel c = cf*PE + pp, word cf of KNEES is its knee and
//                     word cf*SEGMENTS + k of LINES its line k, M at bit 0 and B at bit M_BITS
//
// Latency SEGMENTS + 3 + STAGES + REGISTER, initiation interval CHANNELS/PE a pixel. s_ready_o depends combinationally
// on m_ready_i.
// Memories of a lane: CHANNELS/PE knees, and SEGMENTS times as many lines; registered read.
`default_nettype none

module affine_stairs #(
    parameter int unsigned CHANNELS  = 8,
    parameter int unsigned PE        = 2,
    parameter int unsigned IN_BITS   = 9,
    parameter int unsigned IN_SIGNED = 1,
    parameter int unsigned SEGMENTS  = 2,
    parameter int unsigned M_BITS    = 15,
    parameter int unsigned B_BITS    = 24,
    parameter int unsigned SHIFT     = 14,
    parameter int unsigned SUM_BITS  = 24,
    parameter int unsigned LEVELS    = 255,
    parameter int unsigned OUT_BITS  = 8,
    parameter int unsigned OFFSET    = 128,
    parameter int unsigned DSP       = 1,
    parameter int unsigned SPAN      = 32,
    parameter int unsigned REGISTER  = 0,
    parameter int unsigned BLOCK     = 0,
    parameter              KNEES,
    parameter              LINES
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic                   s_valid_i,
    output wire logic                   s_ready_o,
    input  wire logic [PE*IN_BITS-1:0]  s_data_i,
    output      logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output      logic [PE*OUT_BITS-1:0] m_data_o
);
  if (PE < 1 || PE > 256 || CHANNELS < 1 || CHANNELS % PE != 0) begin : gen_bad_shape
    $error("affine_stairs: PE must divide CHANNELS and be at most 256");
  end
  if (SEGMENTS < 1 || SEGMENTS > 2) begin : gen_bad_segments
    $error("affine_stairs: SEGMENTS must be 1 or 2");
  end
  if (IN_BITS < 1 || M_BITS < 1 || B_BITS < 1 || OUT_BITS < 1) begin : gen_bad_bits
    $error("affine_stairs: IN_BITS, M_BITS, B_BITS and OUT_BITS must be at least 1");
  end
  if (SUM_BITS < SHIFT + 2 || B_BITS > SUM_BITS || SHIFT + 33 < SUM_BITS) begin : gen_bad_sum
    $error("affine_stairs: SUM_BITS must be SHIFT + 2 .. SHIFT + 33, and B_BITS at most SUM_BITS");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  localparam int unsigned LINE_COUNT = FOLD * SEGMENTS;
  localparam int unsigned LINE_ADDR_BITS = LINE_COUNT > 1 ? $clog2(LINE_COUNT) : 1;
  localparam int unsigned X_BITS = IN_SIGNED != 0 ? IN_BITS : IN_BITS + 1;
  localparam int unsigned PRODUCT_BITS = X_BITS + M_BITS;
  localparam int unsigned STAGES = DSP != 0 ? 0 : $clog2((M_BITS + 1) / 2) / SPAN;
  localparam int unsigned LEVEL_BITS = SUM_BITS - SHIFT;  // signed

  function automatic logic [7:0] hex(input int unsigned digit);
    hex = digit < 10 ? 8'("0") + 8'(digit) : 8'("a") + 8'(digit - 10);
  endfunction

  logic [SEGMENTS+STAGES+REGISTER+1:0] valid;  // of the registers behind each stage but the last
  logic [FOLD_BITS-1:0] fold;    // of the input
  wire logic en = m_ready_i || !m_valid_o;
  assign s_ready_o = en;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      valid     <= '0;
      fold      <= '0;
    end else if (en) begin
      {m_valid_o, valid} <= {valid, s_valid_i};
      if (s_valid_i) fold <= fold == FOLD_BITS'(FOLD - 1) ? '0 : fold + 1'b1;
    end
  end
  logic [FOLD_BITS-1:0] knee_fold;  // of the beat whose knee has been read
  if (SEGMENTS == 2) begin : gen_knee_fold
    always_ff @(posedge clk_i) if (en) knee_fold <= fold;
  end else begin : gen_no_knee_fold
    assign knee_fold = fold;
  end

  for (genvar p = 0; p < PE; p++) begin : gen_lane
    wire logic [IN_BITS-1:0] x_in = s_data_i[IN_BITS*p+:IN_BITS];
    logic [IN_BITS-1:0] x_line;  // beside the address of its line
    wire logic [LINE_ADDR_BITS-1:0] line_addr;

    if (SEGMENTS == 2) begin : gen_knee
      wire logic [IN_BITS-1:0] knee;
      rom #(
          .WIDTH(IN_BITS), .DEPTH(FOLD), .INIT({KNEES, "_", hex(p / 16), hex(p % 16), ".mem"})
      ) u_knees (
          .clk_i(clk_i), .en_i(en), .addr_i(fold), .data_o(knee)
      );
      always_ff @(posedge clk_i) if (en) x_line <= x_in;
      wire logic upper = IN_SIGNED != 0 ? $signed(x_line) >= $signed(knee) : x_line >= knee;
      assign line_addr = LINE_ADDR_BITS'({knee_fold, upper});
    end else begin : gen_no_knee
      assign x_line = x_in;
      assign line_addr = knee_fold;
    end

    wire logic [B_BITS+M_BITS-1:0] line_read, line;
    logic [IN_BITS-1:0] x_read;
    wire logic [IN_BITS-1:0] x;
    rom #(
        .WIDTH(B_BITS + M_BITS), .DEPTH(LINE_COUNT), .BLOCK(BLOCK),
        .INIT({LINES, "_", hex(p / 16), hex(p % 16), ".mem"})
    ) u_lines (
        .clk_i(clk_i), .en_i(en), .addr_i(line_addr), .data_o(line_read)
    );
    always_ff @(posedge clk_i) if (en) x_read <= x_line;
    delay_line #(.WIDTH(IN_BITS + B_BITS + M_BITS), .CYCLES(REGISTER)) u_operands (
        .clk_i(clk_i), .en_i(en), .data_i({x_read, line_read}), .data_o({x, line})
    );

    wire logic signed [X_BITS-1:0] x_int = IN_SIGNED != 0 ? X_BITS'($signed(x)) : X_BITS'(x);
    wire logic [M_BITS-1:0] slope = line[M_BITS-1:0];
    wire logic [B_BITS-1:0] offset_bits;
    delay_line #(.WIDTH(B_BITS), .CYCLES(STAGES + 1)) u_offset (
        .clk_i(clk_i), .en_i(en), .data_i(line[M_BITS+:B_BITS]), .data_o(offset_bits)
    );
    wire logic signed [B_BITS-1:0] offset = $signed(offset_bits);
    logic signed [SUM_BITS-1:0] sum;
    if (DSP != 0) begin : gen_dsp
      (* use_dsp = "yes" *) logic signed [PRODUCT_BITS-1:0] product;
      wire logic unused = &{1'b0, product};  // its top bits may be more than SUM_BITS
      always_ff @(posedge clk_i) begin
        if (en) begin
          product <= PRODUCT_BITS'(x_int * $signed({1'b0, slope}));
          sum     <= SUM_BITS'(product) + SUM_BITS'(offset);
        end
      end
    end else begin : gen_luts
      wire logic [PRODUCT_BITS-1:0] now;
      logic signed [PRODUCT_BITS-1:0] product;
      wire logic unused = &{1'b0, product};
      lut_product #(.X_BITS(X_BITS), .M_BITS(M_BITS), .SPAN(SPAN)) u_product (
          .clk_i(clk_i), .en_i(en),
          .x_i(x_int), .m_i(slope), .product_o(now)
      );
      always_ff @(posedge clk_i) begin
        if (en) begin
          product <= $signed(now);
          sum     <= SUM_BITS'(product) + SUM_BITS'(offset);
        end
      end
    end

    wire logic below = sum[SUM_BITS-1];
    wire logic [LEVEL_BITS-2:0] level = sum[SUM_BITS-2:SHIFT];
    wire logic above = 32'(level) > LEVELS;
    wire logic [OUT_BITS-1:0] clipped =
        below ? '0 : above ? OUT_BITS'(LEVELS) : OUT_BITS'(level);
    always_ff @(posedge clk_i) begin
      if (en) m_data_o[OUT_BITS*p+:OUT_BITS] <= OUT_BITS'(OFFSET) + clipped;
    end
  end
endmodule

`default_nettype wire
