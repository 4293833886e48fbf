// Order and loss proofs of the stream primitives (see formal.py).
//
// The primitives move data without looking at it, so it is enough to follow one element: at an
// arbitrary position of the stream one element is 1, all others are 0. The 1 must leave at that
// same position. An element that is lost, doubled or overtaken before it moves it; one that is
// lost or doubled behind it breaks the count of elements inside.
`default_nettype none

// Watches a stream of elements through a device. A beat counts as inside from the first cycle in
// which it is offered, so devices may pass it on at once.
module order_check #(
    parameter int unsigned IN     = 1,   // elements of an input beat at most
    parameter int unsigned OUT    = 1,   // elements of an output beat at most
    parameter int unsigned INSIDE = 15,  // elements inside the device at most, offered ones too
    parameter int unsigned WAIT   = 2    // cycles until the device moves on
) (
    input wire logic           clk_i,
    input wire logic           rst_i,
    input wire logic           s_valid_i,
    input wire logic           s_ready_i,
    input wire logic [IN-1:0]  s_data_i,
    input wire logic [7:0]     s_count_i,  // elements in this beat
    input wire logic           m_valid_i,
    input wire logic           m_ready_i,
    input wire logic [OUT-1:0] m_data_i,
    input wire logic [7:0]     m_count_i,  // elements that this beat must have
    input wire logic           excused_i   // the device waits for somebody else
);
  logic started = 1'b0;
  logic s_stalled, m_stalled, marked, flight;
  logic [IN-1:0] s_held;
  logic [OUT-1:0] m_held;
  logic [7:0] inside, ahead, waited;

  wire logic offered = s_valid_i && !s_stalled;
  logic [7:0] lane;
  always_comb begin
    lane = 8'd0;
    for (int i = 0; i < IN; i++) if (s_data_i[i]) lane = 8'(i);
  end
  // With the beat that is offered now.
  wire logic [7:0] all_inside = inside + (offered ? s_count_i : 8'd0);
  wire logic mark_now = offered && s_data_i != '0;
  wire logic mark_inside = flight || mark_now;
  wire logic [7:0] all_ahead = flight ? ahead : inside + lane;
  wire logic idle = !m_valid_i && !excused_i &&
      (all_inside >= m_count_i || (s_valid_i && !s_ready_i));

  always_ff @(posedge clk_i) begin
    started   <= 1'b1;
    s_held    <= s_data_i;
    m_held    <= m_data_i;
    s_stalled <= s_valid_i && !s_ready_i && !rst_i;
    m_stalled <= m_valid_i && !m_ready_i && !rst_i;
    if (rst_i) begin
      marked <= 1'b0;
      flight <= 1'b0;
      inside <= 8'd0;
      waited <= 8'd0;
    end else begin
      marked <= marked || mark_now;
      waited <= idle ? waited + 8'd1 : 8'd0;
      if (m_valid_i && m_ready_i) begin
        inside <= all_inside - m_count_i;
        flight <= mark_inside && all_ahead >= m_count_i;
        ahead  <= all_ahead - m_count_i;
      end else begin
        inside <= all_inside;
        flight <= mark_inside;
        ahead  <= all_ahead;
      end
    end
  end

  wire logic live = started && !rst_i;
  always_comb begin
    // The source holds a beat until it is taken, and marks one element at most.
    if (live && s_stalled) assume (s_valid_i && s_data_i == s_held);
    if (live && s_valid_i) assume ((s_data_i & (s_data_i - 1'b1)) == '0 && lane < s_count_i);
    if (live && offered && marked) assume (s_data_i == '0);
    // The device
    if (live && m_stalled) assert (m_valid_i && m_data_i == m_held);
    if (live && m_valid_i) assert (m_count_i <= all_inside);
    for (int j = 0; j < OUT; j++) begin
      if (live && m_valid_i)
        assert (m_data_i[j] == (mark_inside && all_ahead == 8'(j) && 8'(j) < m_count_i));
    end
    if (live) assert (waited <= 8'(WAIT));
    if (live) assert (all_inside <= 8'(INSIDE));
  end
endmodule

module formal_fifo #(
    parameter int unsigned WIDTH  = 1,
    parameter int unsigned DEPTH  = 2,
    parameter int unsigned MEMORY = 0
) (
    input wire logic             clk_i,
    input wire logic             any_reset_i,
    input wire logic             s_valid_i,
    input wire logic [WIDTH-1:0] s_data_i,
    input wire logic             m_ready_i
);
  localparam int unsigned BLOCK = MEMORY == 2 ? 1 : 0;
  localparam int unsigned PLACES = 1 << $clog2(DEPTH);
  logic started = 1'b0;
  always_ff @(posedge clk_i) started <= 1'b1;
  wire logic rst = any_reset_i || !started;

  logic s_ready, m_valid;
  logic [WIDTH-1:0] m_data;
  fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH), .MEMORY(MEMORY)) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready), .s_data_i(s_data_i),
      .m_valid_o(m_valid), .m_ready_i(m_ready_i), .m_data_o(m_data));
  order_check #(
      .IN(WIDTH), .OUT(WIDTH), .INSIDE((PLACES + BLOCK + 1) * WIDTH), .WAIT(1 + BLOCK)
  ) check (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_i(s_ready), .s_data_i(s_data_i), .s_count_i(8'(WIDTH)),
      .m_valid_i(m_valid), .m_ready_i(m_ready_i), .m_data_i(m_data), .m_count_i(8'(WIDTH)),
      .excused_i(1'b0));

  // Capacity: the FIFO is ready while it holds less than DEPTH beats.
  logic [7:0] held;
  always_ff @(posedge clk_i) begin
    if (rst) held <= 8'd0;
    else held <= held + 8'(s_valid_i && s_ready) - 8'(m_valid && m_ready_i);
  end
  always_comb if (!rst && held < 8'(DEPTH)) assert (s_ready);
endmodule

module formal_fork_stream #(
    parameter int unsigned OUTPUTS = 2,
    parameter int unsigned WIDTH   = 1
) (
    input wire logic               clk_i,
    input wire logic               any_reset_i,
    input wire logic               s_valid_i,
    input wire logic [WIDTH-1:0]   s_data_i,
    input wire logic [OUTPUTS-1:0] m_ready_i
);
  logic started = 1'b0;
  always_ff @(posedge clk_i) started <= 1'b1;
  wire logic rst = any_reset_i || !started;

  logic s_ready;
  logic [OUTPUTS-1:0] m_valid;
  logic [OUTPUTS*WIDTH-1:0] m_data;
  fork_stream #(.OUTPUTS(OUTPUTS), .WIDTH(WIDTH)) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready), .s_data_i(s_data_i),
      .m_valid_o(m_valid), .m_ready_i(m_ready_i), .m_data_o(m_data));
  for (genvar p = 0; p < OUTPUTS; p++) begin : gen_output
    order_check #(.IN(WIDTH), .OUT(WIDTH), .INSIDE(WIDTH), .WAIT(0)) check (
        .clk_i(clk_i), .rst_i(rst),
        .s_valid_i(s_valid_i), .s_ready_i(s_ready), .s_data_i(s_data_i), .s_count_i(8'(WIDTH)),
        .m_valid_i(m_valid[p]), .m_ready_i(m_ready_i[p]), .m_data_i(m_data[WIDTH*p+:WIDTH]),
        .m_count_i(8'(WIDTH)), .excused_i(m_valid != '0));
    // A reader sees a beat at once, whatever the others do.
    logic taken;
    always_ff @(posedge clk_i) begin
      if (rst || s_ready) taken <= 1'b0;
      else if (m_valid[p] && m_ready_i[p]) taken <= 1'b1;
    end
    always_comb if (!rst && s_valid_i && !taken) assert (m_valid[p]);
  end
endmodule

module formal_width_converter #(
    parameter int unsigned IN_WIDTH  = 1,
    parameter int unsigned OUT_WIDTH = 2
) (
    input wire logic                clk_i,
    input wire logic                any_reset_i,
    input wire logic                s_valid_i,
    input wire logic [IN_WIDTH-1:0] s_data_i,
    input wire logic                m_ready_i
);
  logic started = 1'b0;
  always_ff @(posedge clk_i) started <= 1'b1;
  wire logic rst = any_reset_i || !started;

  logic s_ready, m_valid;
  logic [OUT_WIDTH-1:0] m_data;
  width_converter #(.IN_WIDTH(IN_WIDTH), .OUT_WIDTH(OUT_WIDTH)) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready), .s_data_i(s_data_i),
      .m_valid_o(m_valid), .m_ready_i(m_ready_i), .m_data_o(m_data));
  localparam int unsigned WORD = IN_WIDTH > OUT_WIDTH ? IN_WIDTH : OUT_WIDTH;
  order_check #(.IN(IN_WIDTH), .OUT(OUT_WIDTH), .INSIDE(WORD + IN_WIDTH), .WAIT(1)) check (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_i(s_ready), .s_data_i(s_data_i), .s_count_i(8'(IN_WIDTH)),
      .m_valid_i(m_valid), .m_ready_i(m_ready_i), .m_data_i(m_data), .m_count_i(8'(OUT_WIDTH)),
      .excused_i(1'b0));
endmodule

// Element i of a is 0 or 1, of b 0 or 2, so that both can be seen in the sum.
module formal_add_streams #(
    parameter int unsigned PE = 1
) (
    input wire logic            clk_i,
    input wire logic            any_reset_i,
    input wire logic [1:0]      s_valid_i,
    input wire logic [2*PE-1:0] s_data_i,
    input wire logic            m_ready_i
);
  logic started = 1'b0;
  always_ff @(posedge clk_i) started <= 1'b1;
  wire logic rst = any_reset_i || !started;

  logic [1:0] s_ready;
  logic m_valid;
  logic [2*PE-1:0] b;
  logic [3*PE-1:0] sum;
  logic [2*PE-1:0] m_data;
  for (genvar i = 0; i < PE; i++) begin : gen_lane
    assign b[2*i+:2] = {s_data_i[PE+i], 1'b0};
    assign m_data[i] = sum[3*i];
    assign m_data[PE+i] = sum[3*i+1];
    always_comb if (!rst && m_valid) assert (!sum[3*i+2]);
  end
  add_streams #(
      .PE(PE), .A_BITS(1), .A_SIGNED(0), .B_BITS(2), .B_SIGNED(0), .OUT_BITS(3)
  ) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready), .s_data_i({b, s_data_i[PE-1:0]}),
      .m_valid_o(m_valid), .m_ready_i(m_ready_i), .m_data_o(sum));
  for (genvar p = 0; p < 2; p++) begin : gen_input
    order_check #(.IN(PE), .OUT(PE), .INSIDE(2 * PE), .WAIT(1)) check (
        .clk_i(clk_i), .rst_i(rst),
        .s_valid_i(s_valid_i[p]), .s_ready_i(s_ready[p]), .s_data_i(s_data_i[PE*p+:PE]),
        .s_count_i(8'(PE)),
        .m_valid_i(m_valid), .m_ready_i(m_ready_i), .m_data_i(m_data[PE*p+:PE]),
        .m_count_i(8'(PE)), .excused_i(s_valid_i != 2'b11));
  end
endmodule

// The sum or difference of any two values, in every mix of signed and unsigned.
module formal_add_exact #(
    parameter int unsigned A_SIGNED = 0,
    parameter int unsigned B_SIGNED = 0,
    parameter int unsigned SUBTRACT = 0
) (
    input wire logic       clk_i,
    input wire logic       any_reset_i,
    input wire logic [1:0] s_valid_i,
    input wire logic [2:0] a_i,
    input wire logic [3:0] b_i,
    input wire logic       m_ready_i
);
  logic started = 1'b0;
  always_ff @(posedge clk_i) started <= 1'b1;
  wire logic rst = any_reset_i || !started;

  logic [1:0] s_ready;
  logic m_valid;
  logic [6:0] sum, expected;
  add_streams #(
      .PE(1), .A_BITS(3), .A_SIGNED(A_SIGNED), .B_BITS(4), .B_SIGNED(B_SIGNED), .OUT_BITS(7),
      .SUBTRACT(SUBTRACT)
  ) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready), .s_data_i({b_i, a_i}),
      .m_valid_o(m_valid), .m_ready_i(m_ready_i), .m_data_o(sum));
  // x - 8 * sign is two's complement without any extension operator.
  wire logic [6:0] a = {4'b0, a_i} - (A_SIGNED != 0 && a_i[2] ? 7'd8 : 7'd0);
  wire logic [6:0] b = {3'b0, b_i} - (B_SIGNED != 0 && b_i[3] ? 7'd16 : 7'd0);
  always_ff @(posedge clk_i) if (s_ready == 2'b11) expected <= SUBTRACT != 0 ? a - b : a + b;
  always_comb if (!rst && m_valid) assert (sum == expected);
endmodule

module formal_axis_in #(
    parameter int unsigned AXIS_BYTES = 4,
    parameter int unsigned ELEM_BYTES = 1,
    parameter int unsigned ELEMENTS   = 6,
    parameter int unsigned LANES      = 1
) (
    input wire logic                    clk_i,
    input wire logic                    any_reset_i,
    input wire logic                    s_valid_i,
    input wire logic [8*AXIS_BYTES-1:0] s_data_i,
    input wire logic                    m_ready_i
);
  localparam int unsigned ON_BUS = AXIS_BYTES / ELEM_BYTES;
  localparam int unsigned BEATS = (ELEMENTS + ON_BUS - 1) / ON_BUS;
  localparam int unsigned TAIL = ELEMENTS - (BEATS - 1) * ON_BUS;
  logic started = 1'b0;
  always_ff @(posedge clk_i) started <= 1'b1;
  wire logic rst = any_reset_i || !started;

  logic s_ready, m_valid;
  logic [LANES-1:0] m_data;
  axis_in #(
      .AXIS_BYTES(AXIS_BYTES), .ELEM_BYTES(ELEM_BYTES), .BITS(1), .ELEMENTS(ELEMENTS), .LANES(LANES)
  ) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready), .s_data_i(s_data_i),
      .m_valid_o(m_valid), .m_ready_i(m_ready_i), .m_data_o(m_data));

  logic [7:0] beat;  // of the frame, at the input
  wire logic [7:0] count = beat == 8'(BEATS - 1) ? 8'(TAIL) : 8'(ON_BUS);
  always_ff @(posedge clk_i) begin
    if (rst) beat <= 8'd0;
    else if (s_valid_i && s_ready) beat <= beat == 8'(BEATS - 1) ? 8'd0 : beat + 8'd1;
  end
  logic [ON_BUS-1:0] elements;  // what the padding holds is arbitrary
  for (genvar i = 0; i < ON_BUS; i++) begin : gen_element
    assign elements[i] = s_data_i[8*ELEM_BYTES*i] && 8'(i) < count;
  end
  order_check #(.IN(ON_BUS), .OUT(LANES), .INSIDE(2 * ON_BUS), .WAIT(1)) check (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_i(s_ready), .s_data_i(elements), .s_count_i(count),
      .m_valid_i(m_valid), .m_ready_i(m_ready_i), .m_data_i(m_data), .m_count_i(8'(LANES)),
      .excused_i(1'b0));
endmodule

module formal_axis_out #(
    parameter int unsigned AXIS_BYTES = 4,
    parameter int unsigned ELEM_BYTES = 1,
    parameter int unsigned SIGNED     = 0,
    parameter int unsigned ELEMENTS   = 6,
    parameter int unsigned LANES      = 1
) (
    input wire logic             clk_i,
    input wire logic             any_reset_i,
    input wire logic             s_valid_i,
    input wire logic [LANES-1:0] s_data_i,
    input wire logic             m_ready_i
);
  localparam int unsigned ON_BUS = AXIS_BYTES / ELEM_BYTES;
  localparam int unsigned BEATS = (ELEMENTS + ON_BUS - 1) / ON_BUS;
  localparam int unsigned TAIL = ELEMENTS - (BEATS - 1) * ON_BUS;
  logic started = 1'b0;
  always_ff @(posedge clk_i) started <= 1'b1;
  wire logic rst = any_reset_i || !started;

  logic s_ready, m_valid, m_last;
  logic [8*AXIS_BYTES-1:0] m_data;
  logic [AXIS_BYTES-1:0] m_keep;
  axis_out #(
      .AXIS_BYTES(AXIS_BYTES), .ELEM_BYTES(ELEM_BYTES), .BITS(1), .SIGNED(SIGNED),
      .ELEMENTS(ELEMENTS), .LANES(LANES)
  ) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready), .s_data_i(s_data_i),
      .m_valid_o(m_valid), .m_ready_i(m_ready_i), .m_data_o(m_data), .m_keep_o(m_keep),
      .m_last_o(m_last));

  logic [7:0] beat;  // of the frame, at the output
  wire logic last = beat == 8'(BEATS - 1);
  wire logic [7:0] count = last ? 8'(TAIL) : 8'(ON_BUS);
  always_ff @(posedge clk_i) begin
    if (rst) beat <= 8'd0;
    else if (m_valid && m_ready_i) beat <= last ? 8'd0 : beat + 8'd1;
  end
  always_comb if (!rst && m_valid) assert (m_last == last);
  logic [ON_BUS-1:0] elements;
  for (genvar i = 0; i < ON_BUS; i++) begin : gen_element
    wire logic [8*ELEM_BYTES-1:0] x = m_data[8*ELEM_BYTES*i+:8*ELEM_BYTES];
    assign elements[i] = x[0];
    always_comb begin
      if (!rst && m_valid) assert (x[8*ELEM_BYTES-1:1] == (SIGNED != 0 && x[0] ? '1 : '0));
      if (!rst && m_valid) assert (m_keep[ELEM_BYTES*i+:ELEM_BYTES] == (8'(i) < count ? '1 : '0));
    end
  end
  order_check #(.IN(LANES), .OUT(ON_BUS), .INSIDE(ON_BUS + LANES), .WAIT(1)) check (
      .clk_i(clk_i), .rst_i(rst),
      .s_valid_i(s_valid_i), .s_ready_i(s_ready), .s_data_i(s_data_i), .s_count_i(8'(LANES)),
      .m_valid_i(m_valid), .m_ready_i(m_ready_i), .m_data_i(elements), .m_count_i(count),
      .excused_i(1'b0));
endmodule

`default_nettype wire
