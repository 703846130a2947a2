import Testing

@Suite("Splitting Swift source into code and comments")
struct SwiftTextTests {
    @Test("comments and the contents of literals are not code")
    func blanksCommentsAndLiterals() {
        let text = SwiftText("let a = \"print(\" // print(\n/* try! /* nested */ still */ let b = 1")
        #expect(text.code.count == 2)
        #expect(!text.code.joined().contains("print("))
        #expect(!text.code.joined().contains("try!"))
        #expect(text.code[1].contains("let b = 1"))
        #expect(text.comments[0].contains("// print("))
        #expect(text.comments[1].contains("still */"))
    }

    @Test("an interpolation is code, and the literal goes on after it")
    func keepsInterpolations() {
        let text = SwiftText(#"log("a \(compute(x as! Int)) as? b // c") // d"#)
        #expect(text.code[0].contains("compute(x as! Int)"))
        #expect(!text.code[0].contains("as?"))
        #expect(text.comments[0].contains("// d"))
        #expect(!text.comments[0].contains("// c"))
    }

    @Test("raw and multi-line literals end where they end")
    func endsRawAndMultiLineLiterals() {
        let raw = SwiftText("let r = #\"a \" // \\(b) \"# + c")
        #expect(raw.code[0].contains("+ c"))
        #expect(!raw.code[0].contains("//"))
        let multi = SwiftText("let m = \"\"\"\n  \"quoted\" // no comment\n  \"\"\"\nlet n = 2 // yes")
        #expect(multi.comments.prefix(3).allSatisfy { $0.allSatisfy { $0 == " " } })
        #expect(multi.code[3].contains("let n = 2"))
        #expect(multi.comments[3].contains("// yes"))
    }

    @Test("an escaped quote does not end a literal, an unclosed literal ends with its line")
    func copesWithEscapesAndBrokenText() {
        let text = SwiftText("f(\"a\\\"b\") + g\nlet broken = \"oops\nlet after = 1")
        #expect(text.code[0].contains("+ g"))
        #expect(text.code[2].contains("let after = 1"))
    }
}
