//! What needs no package manager: a tarball, and an image for containers made of it.

use serde_json::Value;

use super::*;
use crate::process::run;

/// A tarball of the program under test.
static TARBALL: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(SCRATCH).join("tarball");
    let _ = fs::remove_dir_all(&dir);
    script("build.sh", &[dir.to_str().expect("text"), "tar"], &[("BINARY", env!("CARGO_BIN_EXE_choria"))])
        .code(0);
    let found = fs::read_dir(&dir).expect("a directory").flatten().next();
    found.expect("a tarball").path()
});

/// One of the scripts that make packages.
fn script(name: &str, words: &[&str], environment: &[(&str, &str)]) -> Ran {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/packages").join(name);
    let mut command = Command::new(path);
    command.args(words).env("COMPRESS", "gzip").envs(environment.iter().copied());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    run(command, None)
}

#[test]
fn a_tarball_is_unpacked_anywhere() {
    if !Machine::possible() {
        return;
    }
    let tarball = TARBALL.display().to_string();
    let station = Station::start();
    station
        .root(&format!("tar -xzf {tarball} && ./choria-rs-*/install.sh"))
        .code(0)
        .says(&["choria setup broker"]);
    station.guards_its_files();
    station.completes();
    station.becomes_a_network();
    // Another time: what was changed stays, and a program that runs is no obstacle.
    let again = station.root("./choria-rs-*/install.sh").code(0);
    again.says(&["kept /etc/choria/server.conf"]);
    station.root("grep -q n1.example.net /etc/choria/server.conf && systemctl restart choria-server").code(0);
    station.answers();
}

/// What a descriptor of an image names, whole.
fn blob(image: &Path, descriptor: &Value) -> Vec<u8> {
    let digest =
        descriptor["digest"].as_str().and_then(|text| text.strip_prefix("sha256:")).expect("a digest");
    let content = fs::read(image.join("blobs/sha256").join(digest)).expect("a blob");
    assert_eq!(descriptor["size"].as_u64(), Some(content.len() as u64), "{descriptor}");
    assert_eq!(sha256(&content), digest);
    content
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    choria::core::text::hex(digest.as_ref())
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn an_image_is_what_its_digests_say_and_runs() {
    let image = Path::new(SCRATCH).join("image");
    let _ = fs::remove_dir_all(&image);
    let [tarball, place] = [&*TARBALL, &image].map(|path| path.to_str().expect("text"));
    let made = script("image.sh", &[tarball, place], &[]).code(0);
    let again = script("image.sh", &[tarball, place], &[]).code(0);
    assert_eq!(made.stdout, again.stdout, "the same of the same");

    assert_eq!(json(&fs::read(image.join("oci-layout")).expect("a layout"))["imageLayoutVersion"], "1.0.0");
    let index = json(&fs::read(image.join("index.json")).expect("an index"));
    let [entry] = index["manifests"].as_array().expect("manifests").as_slice() else { panic!("{index}") };
    assert_eq!(entry["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let manifest = json(&blob(&image, entry));
    assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&2.into(), &entry["mediaType"]));
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let config = json(&blob(&image, &manifest["config"]));
    assert_eq!(
        (&config["os"], &config["architecture"]),
        (&entry["platform"]["os"], &entry["platform"]["architecture"])
    );
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/choria");
    let user = config["config"]["User"].as_str().expect("a user");
    assert_ne!(user, "0:0");
    let [layer] = manifest["layers"].as_array().expect("layers").as_slice() else { panic!("{manifest}") };
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let mut content = Vec::new();
    let packed = blob(&image, layer);
    std::io::copy(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut content).expect("gzip");
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&content)));
    let files = fs::read_dir(image.join("blobs/sha256")).expect("blobs").count();
    assert_eq!(files, 3, "and nothing else");

    if !Machine::possible() {
        return;
    }
    let root = tempfile::TempDir::new().expect("a directory");
    let mut unpack = Command::new("tar");
    unpack.args(["-xf", "-", "-C"]).arg(root.path()).stdin(std::process::Stdio::piped());
    let mut unpack = unpack.spawn().expect("tar");
    std::io::Write::write_all(&mut unpack.stdin.take().expect("a pipe"), &content).expect("a tar");
    assert!(unpack.wait().expect("tar").success());
    let inside = |words: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(format!("--userspec={user}")).arg(root.path()).arg("/usr/bin/choria").args(words);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        run(command, None)
    };
    inside(&["buildinfo"]).fine().says(&[concat!("Version: ", env!("CARGO_PKG_VERSION"))]);
    // It may read the broker's configuration, and lacks what nobody else can bring.
    inside(&["broker", "run", "--check-config"]).code(1).complains(&["/etc/choria/tls/certificate.pem"]);
}

#[test]
fn the_portable_program_needs_an_old_c_library_only() {
    let this = env!("CARGO_BIN_EXE_choria");
    script("symbols.sh", &[this], &[]).code(0).says(&["needs glibc"]);
    script("symbols.sh", &[this, "2.2.5"], &[]).code(1).complains(&["newer than 2.2.5, by:"]);
    // One that `make tarball` has built, if it has.
    let target = Path::new(this).ancestors().nth(2).expect("a directory");
    let portable = target.join(format!("{}-unknown-linux-gnu/dist/choria", std::env::consts::ARCH));
    if portable.exists() {
        script("symbols.sh", &[portable.to_str().expect("text"), "2.17"], &[]).code(0);
    }
}
