// Regroups a stream into wider or narrower beats, the low part first.
//
// IN_WIDTH    bits of an input beat
// OUT_WIDTH   bits of an output beat; one width divides the other
//
// Initiation interval 1 a beat of the narrow side, without a bubble between wide beats.
// Latency 1 from the last narrow beat to the wide one, 1 from the wide beat to the first narrow
// one; 0 where the widths are equal, which makes wires. No memories: one register of the wide
// side. s_ready_o depends combinationally on m_ready_i.
`default_nettype none

module width_converter #(
    parameter int unsigned IN_WIDTH  = 8,
    parameter int unsigned OUT_WIDTH = 8
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    input  wire logic                 s_valid_i,
    output wire logic                 s_ready_o,
    input  wire logic [IN_WIDTH-1:0]  s_data_i,
    output      logic                 m_valid_o,
    input  wire logic                 m_ready_i,
    output      logic [OUT_WIDTH-1:0] m_data_o
);
  if (IN_WIDTH < 1 || OUT_WIDTH < 1) begin : gen_bad_width
    $error("width_converter: widths must be at least 1");
  end else if (IN_WIDTH % OUT_WIDTH != 0 && OUT_WIDTH % IN_WIDTH != 0) begin : gen_bad_ratio
    $error("width_converter: one width must divide the other");
  end

  if (IN_WIDTH == OUT_WIDTH) begin : gen_wires
    assign s_ready_o = m_ready_i;
    assign m_valid_o = s_valid_i;
    assign m_data_o  = s_data_i;
    wire logic unused = &{1'b0, clk_i, rst_i};
  end else if (IN_WIDTH < OUT_WIDTH) begin : gen_widen
    localparam int unsigned RATIO = OUT_WIDTH / IN_WIDTH;
    localparam int unsigned PART_BITS = $clog2(RATIO);
    logic [PART_BITS-1:0] part;  // parts of the word that have arrived
    wire logic last = part == PART_BITS'(RATIO - 1);
    wire logic fire = s_valid_i && s_ready_o;

    assign s_ready_o = m_ready_i || !m_valid_o;
    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        m_valid_o <= 1'b0;
        part      <= '0;
      end else begin
        if (s_ready_o) m_valid_o <= fire && last;
        if (fire) part <= last ? '0 : part + 1'b1;
      end
    end
    always_ff @(posedge clk_i) begin
      if (fire) m_data_o <= {s_data_i, m_data_o[OUT_WIDTH-1:IN_WIDTH]};
    end
  end else begin : gen_narrow
    localparam int unsigned RATIO = IN_WIDTH / OUT_WIDTH;
    localparam int unsigned PART_BITS = $clog2(RATIO);
    logic [PART_BITS-1:0] part;  // the part that m_data_o shows
    logic [IN_WIDTH-1:0]  word;
    wire logic last = part == PART_BITS'(RATIO - 1);

    assign s_ready_o = (m_ready_i && last) || !m_valid_o;
    assign m_data_o  = word[OUT_WIDTH*part+:OUT_WIDTH];
    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        m_valid_o <= 1'b0;
        part      <= '0;
      end else begin
        if (s_ready_o) m_valid_o <= s_valid_i;
        if (m_valid_o && m_ready_i) part <= last ? '0 : part + 1'b1;
      end
    end
    always_ff @(posedge clk_i) begin
      if (s_ready_o) word <= s_data_i;
    end
  end
endmodule

`default_nettype wire
