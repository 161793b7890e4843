use super::*;

#[test]
fn verbs_convert_what_they_are_given() {
    let (text, count, float) = (Argument::Text("a"), Argument::Count(2), Argument::Float(1.5));
    for (spec, arguments, line) in [
        ("%s: %d", vec![text, count], "a: 2"),
        ("%5d seen %s", vec![text, count], "    a seen 2"),
        ("%-3s|%03d", vec![text, count], "a  |002"),
        ("Average: %d", vec![float], "Average: 1"),
        ("%.2f%%", vec![float], "1.50%"),
        ("x", vec![text, count], "x"),
        ("%s %s %s", vec![text], "a  "),
        ("%+d", vec![count], "+2"),
        ("100%", vec![], "100%"),
        ("%99999999999999999999s", vec![], ""),
        ("%s = %-3d|", vec![text, count], "a = 2  |"),
        ("%2$s of %1$s", vec![text, count], "2 of a"),
        ("%*d|%-*d|", vec![Argument::Count(4), count, Argument::Count(3), count], "   2|2  |"),
        ("%f", vec![text], "a"),
        ("%d", vec![Argument::Text("12.7")], "12"),
        ("%s", vec![float], "1.5"),
        ("%s", vec![Argument::Float(3.0)], "3"),
        ("%.1s|%q", vec![Argument::Text("ab"), text], "a|\"a\""),
        ("%c%c", vec![text, Argument::Count(98)], "ab"),
        ("%ld %lu", vec![count, count], "2 2"),
    ] {
        assert_eq!(format(spec, &arguments), line, "{spec}");
    }
    let wide = format(&"%1000s".repeat(1000), &[text; 1000]);
    assert!(wide.len() < 2 * MAX_TEXT, "{}", wide.len());
}

/// What `printf` of C prints, which Ruby's prints too.
#[test]
fn numbers_are_written_as_in_c() {
    for (spec, number, text) in [
        ("%.3f", 1.23456, "1.235"),
        ("%0.2f", 12.0, "12.00"),
        ("%8.3f|", 1.5, "   1.500|"),
        ("%-8.3f|", 1.5, "1.500   |"),
        ("%08.3f", -1.5, "-001.500"),
        ("% .1f", 2.0, " 2.0"),
        ("%+.0f", 2.5, "+2"),
        ("%e", 1234.5, "1.234500e+03"),
        ("%.2E", 0.00012, "1.20E-04"),
        ("%e", 0.0, "0.000000e+00"),
        ("%.0e", 12345.0, "1e+04"),
        ("%g", 0.0001, "0.0001"),
        ("%g", 0.00001, "1e-05"),
        ("%g", 123_456.0, "123456"),
        ("%g", 1_234_567.0, "1.23457e+06"),
        ("%g", 100.0, "100"),
        ("%.3g", 1234.0, "1.23e+03"),
        ("%G", 1e-10, "1E-10"),
        ("%#g", 1.5, "1.50000"),
        ("%d", -7.9, "-7"),
        ("%5d|", -7.0, "   -7|"),
        ("%05d", -7.0, "-0007"),
        ("%.3d", 7.0, "007"),
        ("%6.3d|", 7.0, "   007|"),
        ("%06.3d|", 7.0, "   007|"),
        ("%x %d", 255.0, "ff "),
        ("%#X", 255.0, "0XFF"),
        ("%#06x", 255.0, "0x00ff"),
        ("%o", 8.0, "10"),
        ("%b", 5.0, "101"),
        ("%f", f64::NAN, "NaN"),
        ("%05.1f", f64::INFINITY, "  Inf"),
        ("%d", f64::NAN, "NaN"),
    ] {
        assert_eq!(format(spec, &[Argument::Float(number)]), text, "{spec} of {number}");
    }
}

#[test]
fn a_format_may_be_as_long_as_an_interface() {
    let places = format!("%{}s|%s", "1$".repeat(500_000));
    assert_eq!(format(&places, &[Argument::Text("a"), Argument::Text("b")]), "a|a");
    let flags = format!("%{}d", "-".repeat(500_000));
    assert_eq!(format(&flags, &[Argument::Count(1)]), "1");
}
