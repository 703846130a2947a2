/// Lays rows out in columns for a terminal: text to the left, numbers to the right.
struct TextTable {
    private let titles: [String]
    private let numeric: Set<Int>
    private var rows: [[String]] = []

    /// Makes a table; `numeric` names the columns that are numbers.
    init(_ titles: [String], numeric: Set<Int>) {
        self.titles = titles
        self.numeric = numeric
    }

    /// Adds a row with a cell for each title.
    mutating func add(_ cells: [String]) { rows.append(cells) }

    /// The lines, without spaces at their ends.
    var lines: [String] {
        let widths = titles.indices.map { column in
            ([titles] + rows).map { $0[column].count }.max() ?? 0
        }
        return ([titles] + rows).map { cells in
            let line = cells.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - cells[column].count)
                return numeric.contains(column) ? space + cells[column] : cells[column] + space
            }.joined(separator: "  ")
            return line.lastIndex { $0 != " " }.map { String(line[...$0]) } ?? ""
        }
    }
}
