/* A delegate for the tests, by TensorFlow Lite's external delegate interface.
 *
 * It takes the operators whose numbers in the schema it is told (takes=22, or takes=3+9), and
 * "computes" them by copying input to output, each byte changed by xor=N: so a result tells
 * who has made it. The layouts are those of tensorflow/lite/core/c/common.h, which calls them
 * semi-stable: fields are only ever added at the end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, ERROR = 1, READ_ONLY = 1 };

typedef struct { int size; int data[]; } IntArray;
typedef struct {
  int type;
  char *data;
  IntArray *dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  void *allocation, *name, *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct { int type; void *params; } quantization;
  void *sparsity, *signature;
} Tensor;
typedef struct {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data;
} Node;

struct Context;
struct Delegate;
typedef struct {
  void *(*init)(struct Context *, const char *, size_t);
  void (*free)(struct Context *, void *);
  int (*prepare)(struct Context *, Node *);
  int (*invoke)(struct Context *, Node *);
  const char *(*profiling_string)(const struct Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *rest[8];
} Registration;

typedef struct Context {
  size_t tensors_size;
  int (*plan)(struct Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  int (*resize)(struct Context *, Tensor *, IntArray *);
  void (*report)(struct Context *, const char *, ...);
  int (*add_tensors)(struct Context *, int, int *);
  int (*node)(struct Context *, int, Node **, Registration **);
  int (*replace)(struct Context *, Registration, const IntArray *, struct Delegate *);
} Context;

typedef struct Delegate {
  void *data;
  int (*prepare)(Context *, struct Delegate *);
  void *copy_from, *copy_to, *release;
  int64_t flags;
  void *builder;
} Delegate;

static char takes[64];
static int change, refuse, fails;

static bool is_taken(int code) {
  char list[64], *at = list, *word;
  strcpy(list, takes);
  while ((word = strtok_r(at, "+", &at)))
    if (atoi(word) == code) return true;
  return false;
}

static int ready(Context *context, Node *node) {
  (void)context, (void)node;
  return OK;
}

static int run(Context *context, Node *node) {
  Tensor *out = &context->tensors[node->outputs->data[0]], *in = NULL;
  for (int i = 0; i < node->inputs->size && !in; i++) {
    Tensor *one = &context->tensors[node->inputs->data[i]];
    if (one->allocation_type != READ_ONLY) in = one;
  }
  if (fails || !in) {
    context->report(context, "the chip is on fire");
    return ERROR;
  }
  for (size_t i = 0; i < out->bytes; i++) out->data[i] = in->data[i % in->bytes] ^ change;
  return OK;
}

static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  if (refuse) {
    context->report(context, "the graph is too large");
    return ERROR;
  }
  if (context->plan(context, &plan) != OK) return ERROR;
  IntArray *mine = malloc(sizeof(int) * (size_t)(plan->size + 1));
  mine->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *registration;
    if (context->node(context, plan->data[i], &node, &registration) != OK) return ERROR;
    if (is_taken(registration->builtin_code)) mine->data[mine->size++] = plan->data[i];
  }
  Registration kernel = {.prepare = ready, .invoke = run, .custom_name = "Test", .version = 1};
  int status = mine->size ? context->replace(context, kernel, mine, delegate) : OK;
  free(mine);
  return status;
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t n,
                                    void (*report)(const char *)) {
  takes[0] = 0;
  change = refuse = fails = 0;
  for (size_t i = 0; i < n; i++) {
    if (!strcmp(keys[i], "takes")) snprintf(takes, sizeof takes, "%s", values[i]);
    else if (!strcmp(keys[i], "xor")) change = atoi(values[i]);
    else if (!strcmp(keys[i], "refuse")) refuse = atoi(values[i]);
    else if (!strcmp(keys[i], "fails")) fails = atoi(values[i]);
    else {
      char said[128];
      snprintf(said, sizeof said, "unknown option %s=%s", keys[i], values[i]);
      report(said);
      return NULL;
    }
  }
  puts("a delegate that talks on stdout");
  fflush(stdout);
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  delegate->flags = 1; /* tensors of any shape: operators that only it knows come unprepared */
  return delegate;
}

void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
