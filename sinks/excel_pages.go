package sinks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xuri/excelize/v2"
)

// How the workbook is printed: on A4 and on Letter, whichever the printer has. The pages are
// planned for what both have inside the margins, in pixels of 1/96 inch.
const (
	sideMargin, endMargin   = 0.4, 0.6 // inches
	portraitWide            = (8.27 - 2*sideMargin) * 96
	portraitHigh            = (11 - 2*endMargin) * 96
	landscapeWide           = (11 - 2*sideMargin) * 96
	landscapeHigh           = (8.27 - 2*endMargin) * 96
	rowHigh                 = 20  // pixels
	smallest                = 0.8 // of its size is what portrait may print; what is wider goes on landscape
	portrait, landscape     = "portrait", "landscape"
	rawScale                = 50   // percent: rows of raw data are wide
	charWide, columnPadding = 7, 5 // pixels of a column: so many a character, and what is around
)

// page sets a sheet's orientation, margins and footer.
func (x *excel) page(sheet, orientation string) error {
	name := strings.ReplaceAll(x.title, "&", "&&") // & begins a code
	return errors.Join(
		x.file.SetPageLayout(sheet, &excelize.PageLayoutOptions{Orientation: &orientation, PageOrder: ptr("overThenDown")}),
		x.file.SetPageMargins(sheet, &excelize.PageLayoutMarginsOptions{
			Left: ptr(sideMargin), Right: ptr(sideMargin), Top: ptr(endMargin), Bottom: ptr(endMargin), Header: ptr(0.3), Footer: ptr(0.3),
		}),
		x.file.SetHeaderFooter(sheet, &excelize.HeaderFooterOptions{OddFooter: "&L" + name + "&C&A&RPage &P of &N"}),
	)
}

// onePageWide lets no column of a sheet go on a page of its own.
func (x *excel) onePageWide(sheet string) error {
	return errors.Join(
		x.file.SetSheetProps(sheet, &excelize.SheetPropsOptions{FitToPage: ptr(true)}),
		x.file.SetPageLayout(sheet, &excelize.PageLayoutOptions{FitToWidth: ptr(1), FitToHeight: ptr(0)}),
	)
}

// printName defines what of a sheet is printed, or which rows and columns each page has.
func (x *excel) printName(what, sheet string, ranges ...string) error {
	for i := range ranges {
		ranges[i] = fmt.Sprintf("'%s'!%s", strings.ReplaceAll(sheet, "'", "''"), ranges[i])
	}
	return x.file.SetDefinedName(&excelize.DefinedName{Name: "_xlnm.Print_" + what, Scope: sheet, RefersTo: strings.Join(ranges, ",")})
}

// sheet writes rows one under the other and remembers the first error.
type sheet struct {
	file   *excelize.File
	name   string
	row    int
	err    error
	widths []int      // of the columns: characters of the longest text
	wide   []wideText // those on several columns
	parts  []int      // rows before which a page may end
	head   int        // the row of the last table's header
	tail   int        // and its last
}

// wideText has the columns from one on to the last, and as many lines as it takes.
type wideText struct {
	row, from, style int
	text             string
}

func (s *sheet) add(style int, values ...any) {
	s.row++
	if s.err != nil || len(values) == 0 {
		return
	}
	for i, v := range values {
		if i == len(s.widths) {
			s.widths = append(s.widths, 0)
		}
		if text, ok := v.(string); ok {
			s.widths[i] = max(s.widths[i], len([]rune(text)))
		}
	}
	at, err := excelize.CoordinatesToCellName(1, s.row)
	if err == nil {
		err = s.file.SetSheetRow(s.name, at, &values)
	}
	if err == nil && style != 0 {
		end, _ := excelize.CoordinatesToCellName(len(values), s.row)
		err = s.file.SetCellStyle(s.name, at, end, style)
	}
	s.err = err
}

// addWide is add with a text in the columns that are left.
func (s *sheet) addWide(style int, text string, before ...any) {
	s.add(style, before...)
	s.wide = append(s.wide, wideText{s.row, len(before) + 1, style, text})
}

// addGrid is add with a style of their own for the first two columns.
func (s *sheet) addGrid(labels, style int, values ...any) {
	s.add(style, values...)
	if s.err == nil {
		s.err = s.file.SetCellStyle(s.name, fmt.Sprintf("A%d", s.row), fmt.Sprintf("B%d", s.row), labels)
	}
}

// part begins rows that stay on one page if they can.
func (s *sheet) part() { s.parts = append(s.parts, s.row+1) }

// fit makes columns as wide as their texts, at least so many and none wider than that, and rows as high as their wide texts need. It tells the pages' orientation, and
// whether the last table goes on after the first page.
func (s *sheet) fit(columns, widest int) (orientation string, long bool, err error) {
	if s.err != nil {
		return "", false, s.err
	}
	for len(s.widths) < columns {
		s.widths = append(s.widths, 0)
	}
	pixels := 0.0
	for i, n := range s.widths {
		s.widths[i] = min(widest, max(12, n+2))
		pixels += float64(s.widths[i]*charWide + columnPadding)
		column, _ := excelize.ColumnNumberToName(i + 1) // small numbers have names
		err = errors.Join(err, s.file.SetColWidth(s.name, column, column, float64(s.widths[i])))
	}
	lines := slices.Repeat([]int{1}, s.row+1)
	for _, w := range s.wide {
		first, _ := excelize.CoordinatesToCellName(w.from, w.row)
		last, _ := excelize.CoordinatesToCellName(len(s.widths), w.row)
		room := 0
		for _, n := range s.widths[w.from-1:] {
			room += n
		}
		lines[w.row] = 1 + len([]rune(w.text))*10/(room*9) // a line ends with a word
		err = errors.Join(err, s.file.SetCellStr(s.name, first, w.text), s.file.SetCellStyle(s.name, first, last, w.style),
			s.file.SetRowHeight(s.name, w.row, min(excelize.MaxRowHeight, float64(15*lines[w.row]))))
		if first != last {
			err = errors.Join(err, s.file.MergeCell(s.name, first, last))
		}
	}
	orientation, high, scale := portrait, portraitHigh, portraitWide/pixels
	if scale < smallest {
		orientation, high, scale = landscape, landscapeHigh, landscapeWide/pixels
	}
	page := int(high / min(1, scale) / rowHigh)
	return orientation, sum(lines[1:s.tail+1]) > page, errors.Join(err, s.breakPages(lines, page))
}

// breakPages ends pages of so many lines before the parts that would be split. What comes before
// the first part stays with it.
func (s *sheet) breakPages(lines []int, page int) (err error) {
	used := 0
	for i, part := range s.parts {
		end := s.row + 1
		if i+1 < len(s.parts) {
			end = s.parts[i+1]
		}
		if i == 0 {
			part = 1
		}
		high := sum(lines[part:end])
		if used > 0 && used+high > page {
			err = errors.Join(err, s.file.InsertPageBreak(s.name, fmt.Sprintf("A%d", part)))
			used = 0
		}
		used = (used + high) % page
	}
	return err
}

func sum(numbers []int) (n int) {
	for _, x := range numbers {
		n += x
	}
	return n
}
