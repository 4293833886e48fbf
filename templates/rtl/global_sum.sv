// Sums every channel over all pixels of a frame: the integer part of a global average pool.
//
//   y[c] = sum of x[pixel, c] over PIXELS pixels; exact where OUT_BITS holds every sum
//
// PIXELS               pixels a frame
// CHANNELS             channels of a pixel
// PE                   channels a beat, divides CHANNELS
// IN_BITS, IN_SIGNED   type of x; IN_SIGNED = 1 is two's complement
// OUT_BITS             bits of a sum
//
// Input channels-last, CHANNELS/PE beats a pixel. The sums leave while the last pixel arrives.
// Latency 1 from a beat of the last pixel to its sums, initiation interval PIXELS*CHANNELS/PE a
// frame, without a bubble. s_ready_o depends combinationally on m_ready_i.
// Memory: LUTRAM, word f holds the running sums of channels f*PE .. f*PE+PE-1, the lowest first;
// a register where CHANNELS = PE. It needs no clearing, the first pixel overwrites it.
`default_nettype none

module global_sum #(
    parameter int unsigned PIXELS    = 16,
    parameter int unsigned CHANNELS  = 8,
    parameter int unsigned PE        = 1,
    parameter int unsigned IN_BITS   = 8,
    parameter int unsigned IN_SIGNED = 1,
    parameter int unsigned OUT_BITS  = 12
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
  if (PIXELS < 1 || PE < 1 || CHANNELS < 1 || CHANNELS % PE != 0) begin : gen_bad_shape
    $error("global_sum: PIXELS must be at least 1, and PE must divide CHANNELS");
  end
  if (IN_BITS < 1 || OUT_BITS < IN_BITS) begin : gen_bad_bits
    $error("global_sum: IN_BITS must be at least 1 and at most OUT_BITS");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  localparam int unsigned PIXEL_BITS = PIXELS > 1 ? $clog2(PIXELS) : 1;

  logic [FOLD_BITS-1:0] fold;
  logic [PIXEL_BITS-1:0] pixel;
  wire logic last_fold = fold == FOLD_BITS'(FOLD - 1);
  wire logic last_pixel = pixel == PIXEL_BITS'(PIXELS - 1);
  wire logic fire = s_valid_i && s_ready_o;
  assign s_ready_o = m_ready_i || !m_valid_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      fold      <= '0;
      pixel     <= '0;
    end else begin
      if (s_ready_o) m_valid_o <= fire && last_pixel;
      if (fire) fold <= last_fold ? '0 : fold + 1'b1;
      if (fire && last_fold) pixel <= last_pixel ? '0 : pixel + 1'b1;
    end
  end

  logic [PE*OUT_BITS-1:0] so_far, sums;
  for (genvar i = 0; i < PE; i++) begin : gen_lane
    wire logic [IN_BITS-1:0] x = s_data_i[IN_BITS*i+:IN_BITS];
    wire logic [OUT_BITS-1:0] wide_x = IN_SIGNED != 0 ? OUT_BITS'($signed(x)) : OUT_BITS'(x);
    wire logic [OUT_BITS-1:0] base = pixel == '0 ? '0 : so_far[OUT_BITS*i+:OUT_BITS];
    assign sums[OUT_BITS*i+:OUT_BITS] = base + wide_x;
  end

  if (FOLD == 1) begin : gen_register
    always_ff @(posedge clk_i) if (fire) so_far <= sums;
  end else begin : gen_lutram
    (* ram_style = "distributed" *) logic [PE*OUT_BITS-1:0] ram[FOLD];
    assign so_far = ram[fold];
    always_ff @(posedge clk_i) if (fire) ram[fold] <= sums;
  end
  always_ff @(posedge clk_i) if (fire) m_data_o <= sums;
endmodule

`default_nettype wire
