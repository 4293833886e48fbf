// Adds a bias that depends on where in the image a pixel lies.
//
//   y[r, q, c] = x[r, q, c] + BIASES[class of row r, class of column q][c], to OUT_BITS bits
//
// HEIGHT, WIDTH, CHANNELS      image, channels-last
// PE                           channels a beat, divides CHANNELS
// ROW_CLASSES, COLUMN_CLASSES  runs of rows and of columns with biases of their own
// ROW_ENDS, COLUMN_ENDS        32 bits a class, class 0 lowest: its last row or column
// IN_BITS, IN_SIGNED           type of x; IN_SIGNED = 1 is two's complement
// BIAS_BITS, BIAS_SIGNED       type of a bias
// OUT_BITS                     bits of y, exact where they hold it
// BIASES                       memory file: word (row class * COLUMN_CLASSES + column class) * FOLD
//                              + f holds the biases of channels f*PE .., the lowest first
//
// Latency 2, initiation interval 1 a beat, without a bubble. s_ready_o depends combinationally on
// m_ready_i. Memory: rom.sv, LUTs or block RAM by its size.
`default_nettype none

module border_bias #(
    parameter int unsigned                HEIGHT         = 4,
    parameter int unsigned                WIDTH          = 4,
    parameter int unsigned                CHANNELS       = 4,
    parameter int unsigned                PE             = 1,
    parameter int unsigned                ROW_CLASSES    = 1,
    parameter int unsigned                COLUMN_CLASSES = 1,
    parameter logic [32*ROW_CLASSES-1:0]    ROW_ENDS     = {ROW_CLASSES{HEIGHT - 1}},
    parameter logic [32*COLUMN_CLASSES-1:0] COLUMN_ENDS  = {COLUMN_CLASSES{WIDTH - 1}},
    parameter int unsigned                IN_BITS        = 8,
    parameter int unsigned                IN_SIGNED      = 0,
    parameter int unsigned                BIAS_BITS      = 4,
    parameter int unsigned                BIAS_SIGNED    = 1,
    parameter int unsigned                OUT_BITS       = 8,
    parameter                             BIASES
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
  if (PE < 1 || CHANNELS < 1 || CHANNELS % PE != 0) begin : gen_bad_shape
    $error("border_bias: PE must divide CHANNELS");
  end
  if (ROW_ENDS[32*(ROW_CLASSES-1)+:32] != HEIGHT - 1
      || COLUMN_ENDS[32*(COLUMN_CLASSES-1)+:32] != WIDTH - 1) begin : gen_bad_classes
    $error("border_bias: the last classes must end with the image");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned LINE = COLUMN_CLASSES * FOLD;
  localparam int unsigned DEPTH = ROW_CLASSES * LINE;
  localparam int unsigned ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  localparam int unsigned X_BITS = WIDTH > 1 ? $clog2(WIDTH) : 1;
  localparam int unsigned Y_BITS = HEIGHT > 1 ? $clog2(HEIGHT) : 1;

  logic [FOLD_BITS-1:0] fold;
  logic [X_BITS-1:0] x;
  logic [Y_BITS-1:0] y;
  logic [ADDR_BITS-1:0] line, column;  // words before the row's class, and in it before the column's
  wire logic last_fold = fold == FOLD_BITS'(FOLD - 1);
  wire logic last_x = x == X_BITS'(WIDTH - 1);
  wire logic last_y = y == Y_BITS'(HEIGHT - 1);
  logic x_ends, y_ends;  // the class ends with this column, row
  always_comb begin
    x_ends = 1'b0;
    y_ends = 1'b0;
    for (int unsigned i = 0; i < COLUMN_CLASSES; i++)
      if (x == X_BITS'(COLUMN_ENDS[32*i+:32])) x_ends = 1'b1;
    for (int unsigned i = 0; i < ROW_CLASSES; i++)
      if (y == Y_BITS'(ROW_ENDS[32*i+:32])) y_ends = 1'b1;
  end

  logic held_valid;  // a beat waits for its bias
  wire logic en = m_ready_i || !m_valid_o;
  wire logic fire = s_valid_i && s_ready_o;
  assign s_ready_o = en || !held_valid;
  wire logic step = en || !held_valid;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      held_valid <= 1'b0;
      m_valid_o  <= 1'b0;
      fold       <= '0;
      x          <= '0;
      y          <= '0;
      line       <= '0;
      column     <= '0;
    end else begin
      if (step) held_valid <= s_valid_i;
      if (en) m_valid_o <= held_valid;
      if (fire) fold <= last_fold ? '0 : fold + 1'b1;
      if (fire && last_fold) begin
        x <= last_x ? '0 : x + 1'b1;
        if (last_x) column <= '0;
        else if (x_ends) column <= column + ADDR_BITS'(FOLD);
        if (last_x) y <= last_y ? '0 : y + 1'b1;
        if (last_x && last_y) line <= '0;
        else if (last_x && y_ends) line <= line + ADDR_BITS'(LINE);
      end
    end
  end

  wire logic [PE*BIAS_BITS-1:0] biases;
  rom #(.WIDTH(PE * BIAS_BITS), .DEPTH(DEPTH), .INIT(BIASES)) u_biases (
      .clk_i(clk_i), .en_i(step), .addr_i(line + column + ADDR_BITS'(fold)), .data_o(biases)
  );

  logic [PE*IN_BITS-1:0] held;
  always_ff @(posedge clk_i) if (step) held <= s_data_i;
  for (genvar i = 0; i < PE; i++) begin : gen_lane
    wire logic [IN_BITS-1:0] a = held[IN_BITS*i+:IN_BITS];
    wire logic [BIAS_BITS-1:0] b = biases[BIAS_BITS*i+:BIAS_BITS];
    wire logic [OUT_BITS-1:0] wide_a = IN_SIGNED != 0 ? OUT_BITS'($signed(a)) : OUT_BITS'(a);
    wire logic [OUT_BITS-1:0] wide_b = BIAS_SIGNED != 0 ? OUT_BITS'($signed(b)) : OUT_BITS'(b);
    always_ff @(posedge clk_i) if (en) m_data_o[OUT_BITS*i+:OUT_BITS] <= wide_a + wide_b;
  end
endmodule

`default_nettype wire
