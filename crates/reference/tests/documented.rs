//! docs/configuration.md is what the programs say of themselves.

#[test]
fn the_page_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = armour_reference::configuration();
    if std::env::var_os("ARMOUR_UPDATE_REFERENCE").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(file).unwrap_or_default(),
        page,
        "run `make reference`"
    );
    for name in [
        "ARMOUR_DATABASE_URL",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "--upstream-http2",
    ] {
        assert!(page.contains(name), "{name} is missing");
    }
    // What is for demonstrations and for ourselves is nobody's setting.
    assert!(!page.contains("insecure") && !page.contains("--key-file"));
}
