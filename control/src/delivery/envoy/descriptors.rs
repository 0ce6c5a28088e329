//! The descriptors of all of Envoy's messages: names, numbers and kinds of fields, as Envoy's own files state them.
//!
//! `descriptors.bin` is what `envoy-types` was generated from, without comments, options, extensions and
//! services. A test makes it anew from that crate and compares, so it cannot become another version's.

use prost_reflect::{DescriptorError, DescriptorPool};
use std::sync::LazyLock;

/// A `google.protobuf.FileDescriptorSet`.
const FILES: &[u8] = include_bytes!("descriptors.bin");

/// The fields that Envoy's files mark as sensitive: their values are for nobody to see.
pub(super) const SENSITIVE: &[&str] = &[
    "envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials.private_key",
    "envoy.config.grpc_credential.v3.FileBasedMetadataConfig.secret_data",
    "envoy.config.trace.v3.ClientConfig.backend_token",
    "envoy.extensions.common.aws.v3.AssumeRoleWithWebIdentityCredentialProvider.web_identity_token_data_source",
    "envoy.extensions.common.aws.v3.CredentialsFileCredentialProvider.credentials_data_source",
    "envoy.extensions.common.aws.v3.IAMRolesAnywhereCredentialProvider.private_key",
    "envoy.extensions.common.aws.v3.InlineCredentialProvider.secret_access_key",
    "envoy.extensions.common.aws.v3.InlineCredentialProvider.session_token",
    "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth.credentials",
    "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute.credentials",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuth.users",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute.users",
    "envoy.extensions.filters.http.ext_authz.v3.CheckSettings.context_extensions",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions.Credential.auth_password",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions.Credential.auth_username",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions.auth_password",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions.auth_username",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy.downstream_auth_password",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy.downstream_auth_passwords",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy.downstream_auth_username",
    "envoy.extensions.grpc_service.call_credentials.file_based_metadata.v3.FileBasedMetadataCallCredentials.secret_data",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secret",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secrets",
    "envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider.typed_config",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.password",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.pkcs12",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key",
    "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys.keys",
];

/// Fields that hold secrets here, beside those: the key by which a module hashes values in logs.
pub(super) const SECRET: &[&str] = &["envoy.extensions.wasm.v3.PluginConfig.configuration"];

static POOL: LazyLock<Result<DescriptorPool, DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(FILES));

/// All messages, by their full names.
///
/// # Errors
/// If the file is damaged, which the tests rule out.
pub(super) fn pool() -> Result<&'static DescriptorPool, &'static DescriptorError> {
    POOL.as_ref()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use prost::Message as _;
    use prost_types::{DescriptorProto, EnumDescriptorProto, EnumOptions, FileDescriptorSet, MessageOptions};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// The descriptors in the sources of `envoy-types`, wherever cargo keeps those.
    fn original() -> PathBuf {
        let compiler = Command::new("rustc").arg("-vV").output().unwrap();
        let compiler = String::from_utf8(compiler.stdout).unwrap();
        let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        // Of this host alone, for the packages of others need not be there.
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", host])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata.get("packages").unwrap().as_array().unwrap();
        let package = packages.iter().find(|package| package.get("name").unwrap() == "envoy-types").unwrap();
        let manifest = Path::new(package.get("manifest_path").unwrap().as_str().unwrap());
        manifest.with_file_name("src/generated/types.bin")
    }

    /// Leaves what says how bytes are read, and what the parts are called.
    fn strip(message: &mut DescriptorProto) {
        let is_entry = message.options.as_ref().and_then(|options| options.map_entry);
        message.options =
            is_entry.map(|entry| MessageOptions { map_entry: Some(entry), ..Default::default() });
        message.extension.clear();
        for field in &mut message.field {
            field.options = None;
            field.json_name = None;
        }
        for oneof in &mut message.oneof_decl {
            oneof.options = None;
        }
        message.enum_type.iter_mut().for_each(strip_enum);
        message.nested_type.iter_mut().for_each(strip);
    }

    fn strip_enum(numbers: &mut EnumDescriptorProto) {
        let may_repeat = numbers.options.as_ref().and_then(|options| options.allow_alias);
        numbers.options =
            may_repeat.map(|repeat| EnumOptions { allow_alias: Some(repeat), ..Default::default() });
        numbers.value.iter_mut().for_each(|value| value.options = None);
    }

    #[test]
    fn the_descriptors_are_those_of_the_messages_that_are_written() {
        let mut set = FileDescriptorSet::decode(std::fs::read(original()).unwrap().as_slice()).unwrap();
        for file in &mut set.file {
            (file.options, file.source_code_info) = (None, None);
            file.extension.clear();
            file.service.clear();
            file.message_type.iter_mut().for_each(strip);
            file.enum_type.iter_mut().for_each(strip_enum);
        }
        let stripped = set.encode_to_vec();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/delivery/envoy/descriptors.bin");
            std::fs::write(path, &stripped).unwrap();
        } else {
            assert!(stripped == FILES, "envoy-types changed: run this test once with UPDATE_EXPECT=1");
        }
    }

    #[test]
    fn sensitive_fields_are_those_that_envoy_marks() {
        let pool = DescriptorPool::decode(std::fs::read(original()).unwrap().as_slice()).unwrap();
        let mark = pool.get_extension_by_name("udpa.annotations.sensitive").unwrap();
        let fields = pool.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>());
        let mut marked: Vec<String> = fields
            .filter(|field| field.options().get_extension(&mark).as_bool() == Some(true))
            .map(|field| field.full_name().to_owned())
            .collect();
        marked.sort();
        assert_eq!(marked, SENSITIVE);
    }

    #[test]
    fn the_descriptors_fit_together() {
        assert!(pool().unwrap().get_message_by_name("envoy.config.listener.v3.Listener").is_some());
    }
}
