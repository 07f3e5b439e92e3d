/* Impurities in a scan, with nothing but TensorFlow's C library.
 *
 *     stmk prepare scan.sxm --model saved_models/context --out tensors
 *     make -C examples/c
 *     examples/c/locate saved_models/context tensors > positions.csv
 *
 * Reads the inputs of the model's signature `locate` from NAME.npy files and
 * prints y_nm,x_nm and the certainty of every position, the surest first.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

enum { MOST = 16 };

typedef struct {
  char key[64];  /* name in the signature, such as "maps" */
  char op[256];  /* operation in the graph */
  int index;     /* of its outputs */
} Port;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "locate: %s: %s\n", what, why);
  exit(2);
}

/* --- protocol buffers, as far as a signature needs them ----------------- */

typedef struct {
  const uint8_t *at, *end;
} Span;

static uint64_t varint(Span *s) {
  uint64_t value = 0;
  for (int shift = 0; s->at < s->end && shift < 64; shift += 7) {
    uint8_t byte = *s->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) break;
  }
  return value;
}

/* The next field of a message; 0 at its end. Others than bytes are skipped. */
static int next_field(Span *s, Span *value) {
  while (s->at < s->end) {
    uint64_t tag = varint(s);
    switch (tag & 7) {
      case 0: varint(s); break;
      case 1: s->at += 8; break;
      case 5: s->at += 4; break;
      case 2: {
        uint64_t length = varint(s);
        if (length > (uint64_t)(s->end - s->at)) fail("model", "damaged");
        *value = (Span){s->at, s->at + length};
        s->at += length;
        return (int)(tag >> 3);
      }
      default: fail("model", "damaged");
    }
  }
  return 0;
}

static void text(Span s, char *out, size_t size) {
  size_t length = (size_t)(s.end - s.at);
  if (length >= size) fail("model", "a name is too long");
  memcpy(out, s.at, length);
  out[length] = 0;
}

/* An entry of map<string, TensorInfo>. */
static Port port(Span entry) {
  Port found = {"", "", 0};
  Span value, inner;
  for (int field; (field = next_field(&entry, &value));) {
    if (field == 1) text(value, found.key, sizeof found.key);
    if (field != 2) continue;
    for (int part; (part = next_field(&value, &inner));)
      if (part == 1) text(inner, found.op, sizeof found.op);
  }
  char *colon = strchr(found.op, ':');
  if (colon) {
    found.index = atoi(colon + 1);
    *colon = 0;
  }
  return found;
}

/* Inputs and outputs of a signature of a MetaGraphDef. */
static void signature(Span meta, const char *wanted, Port *in, int *n_in,
                      Port *out, int *n_out) {
  Span entry, value;
  for (int field; (field = next_field(&meta, &entry));) {
    if (field != 5) continue; /* signature_def */
    char name[64] = "";
    Span whole = entry, body = {NULL, NULL};
    for (int part; (part = next_field(&whole, &value));) {
      if (part == 1) text(value, name, sizeof name);
      if (part == 2) body = value;
    }
    if (strcmp(name, wanted)) continue;
    *n_in = *n_out = 0;
    for (int part; (part = next_field(&body, &value));) {
      if (part == 1 && *n_in < MOST) in[(*n_in)++] = port(value);
      if (part == 2 && *n_out < MOST) out[(*n_out)++] = port(value);
    }
    return;
  }
  fail(wanted, "the model has no such signature");
}

/* --- NumPy's .npy, little-endian float32 --------------------------------- */

static TF_Tensor *read_npy(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.npy", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file) fail(path, "no such file; write it with `stmk prepare`");
  unsigned char start[10];
  if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01", 7))
    fail(path, "no .npy file of version 1");
  size_t length = start[8] | (size_t)start[9] << 8;
  char *header = calloc(length + 1, 1);
  if (fread(header, 1, length, file) != length) fail(path, "cut short");
  if (!strstr(header, "'<f4'") || strstr(header, "'fortran_order': True"))
    fail(path, "no float32 in C order");
  int64_t shape[8], count = 1;
  int rank = 0;
  char *at = strchr(strstr(header, "'shape'"), '(') + 1;
  while (*at != ')' && rank < 8) {
    if (*at < '0' || *at > '9') { at++; continue; }
    shape[rank] = strtoll(at, &at, 10);
    count *= shape[rank++];
  }
  free(header);
  TF_Tensor *tensor =
      TF_AllocateTensor(TF_FLOAT, shape, rank, (size_t)count * sizeof(float));
  if (fread(TF_TensorData(tensor), sizeof(float), (size_t)count, file) !=
      (size_t)count)
    fail(path, "cut short");
  fclose(file);
  return tensor;
}

static const void *values(const char *key, Port *ports, int n,
                          TF_Tensor **tensors) {
  for (int i = 0; i < n; i++)
    if (!strcmp(ports[i].key, key)) return TF_TensorData(tensors[i]);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) fail("usage", "locate MODEL_DIRECTORY TENSORS_DIRECTORY");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_Buffer *meta = TF_NewBuffer();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(
      options, NULL, argv[1], tags, 1, graph, meta, status);
  if (TF_GetCode(status) != TF_OK) fail(argv[1], TF_Message(status));

  Port in[MOST], out[MOST];
  int n_in, n_out;
  const uint8_t *bytes = meta->data;
  signature((Span){bytes, bytes + meta->length}, "locate", in, &n_in, out,
            &n_out);
  TF_Output feeds[MOST], fetches[MOST];
  TF_Tensor *given[MOST], *found[MOST] = {NULL};
  for (int i = 0; i < n_in; i++) {
    feeds[i] = (TF_Output){TF_GraphOperationByName(graph, in[i].op),
                           in[i].index};
    given[i] = read_npy(argv[2], in[i].key);
  }
  for (int i = 0; i < n_out; i++)
    fetches[i] = (TF_Output){TF_GraphOperationByName(graph, out[i].op),
                             out[i].index};
  TF_SessionRun(session, NULL, feeds, given, n_in, fetches, found, n_out, NULL,
                0, NULL, status);
  if (TF_GetCode(status) != TF_OK) fail("inputs", TF_Message(status));

  const int32_t *count = values("count", out, n_out, found);
  const float *place = values("positions_nm", out, n_out, found);
  const float *sure = values("probability", out, n_out, found);
  const char *name = "probability";
  if (!sure) { /* a network that gives the score alone */
    sure = values("height", out, n_out, found);
    name = "height";
  }
  if (!count || !place || !sure) fail(argv[1], "outputs are missing");
  printf("y_nm,x_nm,%s\n", name);
  for (int i = 0; i < count[0]; i++)
    printf("%.5f,%.5f,%.5f\n", place[2 * i], place[2 * i + 1], sure[i]);

  for (int i = 0; i < n_in; i++) TF_DeleteTensor(given[i]);
  for (int i = 0; i < n_out; i++) TF_DeleteTensor(found[i]);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteBuffer(meta);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
